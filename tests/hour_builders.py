"""Small builders for the arithmetic of hours: rows as a plant would send them, and one call that judges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from plant.hours import Claim, HourMeans, average_hours
from plant.packs import Pack, pack
from plant.periods import HOUR, SECOND, micros
from plant.readings import Rows, state_not_running
from plant.register import Channel, Stack
from plant.verdicts import HourVerdicts, judge_hours, method_of

ULE: Final = "cn-steel-ule-2019"
FIRST: Final = micros(datetime(2026, 11, 10, tzinfo=UTC))
LONG_AFTER: Final = FIRST + 30 * 24 * HOUR


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: *at* in seconds from FIRST."""

    at: int
    values: Mapping[str, float | None]
    interval_s: int = 60
    flag: str = "N"
    flags: Mapping[str, str] = field(default_factory=dict)
    state: str | None = None


def samples(n: int, *, start: int = 0, step: int = 60, interval_s: int | None = None, **rest: Any) -> list[Sample]:
    """*n* rows from *start*, one each *step* seconds; keyword arguments are channels, or fields of a sample."""
    fields = {name: rest.pop(name) for name in ("flag", "flags", "state") if name in rest}
    length = step if interval_s is None else interval_s
    return [Sample(start + i * step, rest, length, **fields) for i in range(n)]


def as_rows(rows: Iterable[Sample]) -> Rows:
    """The rows of one instrument, sorted as the arithmetic wants them."""
    ordered = sorted(rows, key=lambda row: row.at)
    row_flag = np.array([ord(row.flag) for row in ordered], dtype=np.uint8)
    channels = {name for row in ordered for name in row.values}
    flagged = {name for row in ordered for name in row.flags}
    return Rows(
        sampled_at=np.array([FIRST + row.at * SECOND for row in ordered], dtype=np.int64),
        interval_s=np.array([row.interval_s for row in ordered], dtype=np.int64),
        not_running=state_not_running([row.state for row in ordered]),
        values={
            name: np.array(
                [np.nan if (value := row.values.get(name)) is None else value for row in ordered], dtype=np.float64
            )
            for name in channels
        },
        flags={
            name: np.array([ord(row.flags.get(name, row.flag)) for row in ordered], dtype=np.uint8) for name in flagged
        },
        row_flag=row_flag,
    )


def a_stack(
    process: str = "sinter_head",
    *,
    judged_from: tuple[str, ...] = ("main",),
    ambient_pressure_pa: float = 101_325.0,
    **channels: Channel,
) -> Stack:
    return Stack(
        code="DA001",
        name="A stack",
        process=process,
        packs=(ULE,),
        interval_s=60,
        judged_from=judged_from,
        channels=channels,
        ambient_pressure_pa=ambient_pressure_pa,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    means: HourMeans
    verdicts: HourVerdicts

    def said(self, hour: int = 0) -> tuple[str, str]:
        """(verdict, reason)"""
        return str(self.verdicts.verdict[hour]), str(self.verdicts.reason[hour])


def judge(
    rows: Sequence[Sample] | Mapping[str, Sequence[Sample]],
    pollutant: str = "so2",
    *,
    stack: Stack | None = None,
    n_hours: int = 1,
    accepted: Sequence[Claim] = (),
    now: int = LONG_AFTER,
    first: int = FIRST,
    under: Pack | None = None,
) -> Judged:
    """Average and judge the hours from *first* on; *rows* of the instrument `main`, or by instrument."""
    by_instrument = rows if isinstance(rows, Mapping) else {"main": rows}
    where = stack or a_stack()
    rules = under or pack(ULE)
    corrected = where.channel(pollutant).corrected
    means = average_hours(
        {name: as_rows(of) for name, of in by_instrument.items()},
        pollutant,
        where,
        method_of(rules, where.process, already_corrected=corrected),
        first=first,
        n_hours=n_hours,
        accepted=accepted,
    )
    return Judged(means, judge_hours(means, rules, where.process, pollutant, already_corrected=corrected, now=now))
