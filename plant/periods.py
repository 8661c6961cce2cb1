"""Local hours and months, in UTC: every interval is half-open and named by its start.

Instants are whole microseconds since the epoch (int64), the resolution of the database. An hour is cut at
the site's local hour, so a zone that lies off by a half or a quarter hour cuts there.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Instants = npt.NDArray[np.int64]  #: shape (n,), microseconds since 1970-01-01T00:00Z

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
_DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """*at* as microseconds since the epoch, exactly."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no offset")
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(at_us))


def written(at_us: int) -> str:
    """The instant as documents have it: `2026-10-01T00:00:00Z`."""
    return instant(at_us).isoformat().replace("+00:00", "Z")


def hour_start(at_us: int, zone: ZoneInfo) -> int:
    """The start of the local hour that holds the instant *at_us*."""
    offset = _offset_us(at_us, zone)
    return (at_us + offset) // HOUR * HOUR - offset


def hour_starts(at_us: Instants, zone: ZoneInfo) -> Instants:
    """The start of the local hour that holds each of *at_us*."""
    hours, place = np.unique(at_us // HOUR, return_inverse=True)
    offsets = np.array([_offset_us(hour, zone) for hour in (hours * HOUR).tolist()], np.int64)
    if any(_offset_us(last, zone) != offset for last, offset in zip(hours * HOUR + HOUR - 1, offsets, strict=True)):
        return np.array([hour_start(at, zone) for at in at_us.tolist()], np.int64)  # clocks change within such an hour
    offset = offsets[place]
    return (at_us + offset) // HOUR * HOUR - offset


def local_days(at_us: Instants, zone: ZoneInfo) -> Instants:
    """The local day that holds each of *at_us*, as days since 1970-01-01."""
    days, place = np.unique(at_us // _DAY, return_inverse=True)
    first, last = (
        np.array([_offset_us(at, zone) for at in ends.tolist()], np.int64) for ends in (days * _DAY, (days + 1) * _DAY)
    )
    offset = first[place]
    changing = np.flatnonzero((first != last)[place])  # clocks change within such a day
    offset[changing] = [_offset_us(at, zone) for at in at_us[changing].tolist()]
    return (at_us + offset) // _DAY


def month_of(at_us: int, zone: ZoneInfo) -> date:
    """The first day of the local month that holds the instant *at_us*."""
    local = instant(at_us).astimezone(zone)
    return date(local.year, local.month, 1)


def month_bounds(month: date, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end of a local month, in microseconds since the epoch."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    start, end = (datetime(day.year, day.month, 1, tzinfo=zone) for day in (month, following))
    return micros(start), micros(end)


def _offset_us(at_us: int, zone: ZoneInfo) -> int:
    offset = instant(at_us).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
