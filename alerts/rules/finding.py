"""What a rule found: the numbers it was decided on, and a name that the same data give anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one rule watches over time: a pollutant of a stack under a pack, or what an edge sends."""

    rule: str
    site: str
    pack: str | None = None
    stack: str | None = None
    pollutant: str | None = None
    edge: str | None = None
    instrument: str | None = None  #: where a rule looks at each of a stack's instruments, and this is not the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A breach in one period of a series. Instants are microseconds since the epoch."""

    series: Series
    severity: str
    period_start: int
    period_end: int
    observed: float
    limit: float
    unit: str
    clause: str
    evidence: Mapping[str, Any]
    settled: bool  #: the period has ended; until then the numbers still move
    ended_at: int | None = None  #: where the rule itself knows when it was over; else what follows ends it

    @property
    def alert_id(self) -> str:
        return alert_id(self.series, self.period_start)


def alert_id(series: Series, period_start: int) -> str:
    """A function of rule, pack, stack or edge, pollutant, instrument and period, and of nothing else."""
    parts = (series.rule, series.pack, series.site, series.stack, series.pollutant, str(period_start))
    name = "\n".join(part or "" for part in parts) + (f"\n{series.edge}" if series.edge else "")
    name += f"\n\n{series.instrument}" if series.instrument else ""  # no edge's name begins with a line's end
    digest = hashlib.blake2b(name.encode(), digest_size=15).digest()
    return "al-" + base64.b32encode(digest).decode().lower()
