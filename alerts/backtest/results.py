"""What a judgement of history comes to: hours, months and alerts, wherever the rows came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plant.months import Month
from plant.periods import Instants
from plant.readings import Values

_EVER: Final = 2**62  # microseconds

Texts = npt.NDArray[np.object_]


class SeriesKey(NamedTuple):
    """One pollutant of one stack under one pack."""

    site: str
    stack: str
    pack: str
    pollutant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """The final hours of a series that have a verdict; arrays of shape (n_hours,), rising."""

    start: Instants
    verdict: Texts
    reason: Texts
    corrected: Values
    limit: Values

    def between(self, first: int, end: int) -> Hours:
        """Those that start in `[first, end)`."""
        of = slice(*np.searchsorted(self.start, (first, end)))
        return Hours(**{name: getattr(self, name)[of] for name in type(self).__slots__})


class MonthKey(NamedTuple):
    series: SeriesKey
    start: int  #: of the local month, microseconds since the epoch
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAlert:
    """An alert as the data make it: nobody has acknowledged, silenced or grouped anything. Instants in microseconds."""

    alert_id: str
    rule: str
    severity: str
    site: str
    stack: str
    pollutant: str | None
    pack: str | None
    period_start: int
    period_end: int
    ended_at: int | None
    observed: float | None
    limit: float | None
    unit: str
    clause: str
    evidence: Mapping[str, Any]

    @property
    def state(self) -> str:
        return "firing" if self.ended_at is None else "resolved"


@dataclass(slots=True)
class Result:
    """Everything that was judged."""

    hours: dict[SeriesKey, Hours] = field(default_factory=dict)
    months: dict[MonthKey, Month] = field(default_factory=dict)
    alerts: dict[str, JudgedAlert] = field(default_factory=dict)  #: by id
    rows: int = 0

    def add(self, other: Result) -> None:
        """Take in what was judged of other stacks."""
        self.hours.update(other.hours)
        self.months.update(other.months)
        self.alerts.update(other.alerts)
        self.rows += other.rows

    def within(self, first: int | None, end: int | None) -> Result:
        """What touches `[first, end)` (microseconds; None: no bound): what lies around it was judged for its sake."""
        low, high = (-_EVER if first is None else first), (_EVER if end is None else end)
        hours = {key: of.between(low, high) for key, of in self.hours.items()}
        return Result(
            hours={key: of for key, of in hours.items() if of.start.size},
            months={key: of for key, of in self.months.items() if key.start < high and key.end > low},
            alerts={key: of for key, of in self.alerts.items() if of.period_start < high and of.period_end > low},
            rows=self.rows,
        )
