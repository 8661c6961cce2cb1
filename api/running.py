"""The running hour of a stack: what it can still end with, and below what the rest of it must stay.

The arithmetic is `plant.bounds`'; the minutes are computed here from the committed rows, as the rule stage will
compute them when the hour has ended. Without a registered range the bounds are unknown, and null.
"""

from __future__ import annotations

import math
from typing import Any, Final

from plant.bounds import bound_hours, target_of
from plant.envelopes import Envelope, envelope_of
from plant.hours import MINUTES, average_hours
from plant.limits import governing
from plant.packs import Pack
from plant.periods import HOUR, MINUTE, SECOND
from plant.readings import Rows
from plant.register import Stack
from plant.verdicts import method_of
from store.judging import accepted_marks
from store.measurements import read_rows
from store.pool import Connection

UNKNOWN: Final[dict[str, Any]] = {
    "bounds": {"low": None, "high": None},
    "saveable": None,
    "keep_below": None,
    "conditions": None,
}


async def bounds_of_hour(
    conn: Connection, stack_id: int, stack: Stack, pack: Pack, *, start: int, now: int
) -> dict[str, dict[str, Any]]:
    """By pollutant: `bounds`, `saveable`, `keep_below` of the hour that begins at *start* (microseconds)."""
    rows = await read_rows(conn, stack_id, stack, first=start, end=start + HOUR)
    marks = await accepted_marks(conn, stack_id, first=start, end=start + HOUR)
    passed = _passed(rows, start, now)
    found = {}
    for pollutant, rule in governing(pack, stack).items():
        corrected, process = stack.channel(pollutant).corrected, rule.outlet.key
        method = method_of(pack, process, already_corrected=corrected)
        envelope = envelope_of(stack, pollutant, with_oxygen=method.with_oxygen)
        if envelope is None:
            found[pollutant] = UNKNOWN
            continue
        means = average_hours(rows, pollutant, stack, method, first=start, n_hours=1, accepted=marks)
        target = target_of(pack, process, pollutant, already_corrected=corrected, limit=rule.limit)
        bounds = bound_hours(means.minute_mean[0], means.minute_o2[0], passed, target, envelope)
        decidable = bool(bounds.decidable)
        found[pollutant] = {
            "bounds": {"low": _number(bounds.low), "high": _number(bounds.high)},
            # A minute over range leaves an hour undecided at best.
            "saveable": (bool(bounds.saveable) and means.over_range_minutes[0] == 0) if decidable else None,
            "keep_below": _number(bounds.keep_below),
            "conditions": _conditions(envelope),
        }
    return found


def _passed(rows: dict[str, Rows], start: int, now: int) -> int:
    """Minutes of the hour that are over: by the clock, and covered by rows; what is late may still come."""
    ends = [int((row.sampled_at + row.interval_s * SECOND).max()) for row in rows.values() if row.sampled_at.size]
    covered = (min(max(ends, default=start), now) - start) // MINUTE
    return max(0, min(MINUTES, covered))


def _conditions(envelope: Envelope) -> dict[str, float | None]:
    """What the bounds stand on, besides that the hour stays valid: the ranges of the minutes to come."""
    o2_low, o2_high = envelope.o2 or (None, None)
    return {"low": envelope.low, "high": _number(envelope.high), "o2_low": o2_low, "o2_high": o2_high}


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
