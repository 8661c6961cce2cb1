"""By when the agency must act: legal time limits as arithmetic over the instants of a case.

What it says    a decision within 90 days of filing; service within 7 working days of the decision.
Source          Administrative Penalty Law (行政处罚法, 2021) arts 60 and 61. Its art 85 makes only the limits
                of 2, 3, 5 and 7 days working days, so the 90 are calendar days (V-P).
What is filing  the instant the case was opened here, the earliest that can be called so: an agency that files
                later has until later.
Working days    Monday to Friday. China's holiday calendar is not known here. A public holiday moves the
                legal date later than ours, which is harmless; a weekend day that the State Council declares
                worked (调休) moves it earlier by a day. Who serves near one counts by hand.

A limit ends with a legal day; what is given here is the same time of day, which is never after that end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from alerts.enforcement.workflow import State

DECIDE_WITHIN_DAYS: Final = 90  #: Penalty Law art 60
SERVE_WITHIN_WORKING_DAYS: Final = 7  #: Penalty Law art 61; Order 30 (2014) art 14 [K-H]
_SATURDAY: Final = 5


def due(state: State, *, opened_at: datetime, entered_at: datetime, zone: ZoneInfo) -> datetime | None:
    """When the next act of a case is due that entered *state* at *entered_at*; None where no law says."""
    match state:
        case State.VERIFIED:
            return (opened_at.astimezone(zone) + timedelta(days=DECIDE_WITHIN_DAYS)).astimezone(UTC)
        case State.DECIDED:
            return add_working_days(entered_at, SERVE_WITHIN_WORKING_DAYS, zone)
        case _:
            return None


def add_working_days(start: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same local time of day, *days* Mondays to Fridays after *start*; the day of *start* does not count.

    >>> friday = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    >>> add_working_days(friday, 1, ZoneInfo("Asia/Shanghai")).isoformat()
    '2026-11-23T08:00:00+00:00'
    """
    local = start.astimezone(zone)
    while days:
        local += timedelta(days=1)
        days -= local.weekday() < _SATURDAY
    return local.astimezone(UTC)
