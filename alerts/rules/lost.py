"""Rows that an edge counted and that did not arrive, as the rules on them see one hour of the books of one edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.rules.finding import Finding, Series
from plant.periods import HOUR, MINUTE, written

GRACE: Final = 5 * MINUTE
"""How long rows must have had a fate before it is an alert, by the tick. Frames may overtake one another, and an outbox
counts what it dropped in a later frame than the gap; minutes are enough for a live frame, which goes before a backlog.
"""

LISTED: Final = 20  #: gaps in the evidence; the sums are over all of them
CLAUSE: Final = "books: what became of every row that an edge published (contract, GET /v1/books)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Rows of one gap with one fate. Instants are microseconds since the epoch."""

    session: str
    first: int  #: the missing numbers; none where last is below first
    last: int
    fate: str
    rows: int
    counted_at: int  #: when the frame was received that counted them
    since: int  #: the tick at which they had this fate first

    @property
    def place(self) -> tuple[str, int, int]:
        return self.session, self.first, self.last


def gaps_of(fate: str, lost: Sequence[Lost], *, now: int, stands: bool) -> list[Lost]:
    """Those of *lost* that have had *fate* for long enough at *now*.

    *stands*: there was a finding before. It lasts while any row has the fate: where a part of a gap came, what is left
    of it is a new gap.
    """
    return [gap for gap in lost if gap.fate == fate and (stands or gap.since + GRACE <= now)]


def finding(series: Series, severity: str, hour: int, gaps: Sequence[Lost], beside: Sequence[Lost]) -> Finding:
    """The finding that *gaps* are lost; *beside* is what else the same hour of the same edge misses."""
    rows = sum(gap.rows for gap in gaps)
    return Finding(
        series=series,
        severity=severity,
        period_start=hour,
        period_end=hour + HOUR,
        observed=float(rows),
        limit=0.0,
        unit="rows",
        clause=CLAUSE,
        evidence={
            "edge": series.edge,
            "rows": rows,
            "since": written(min(gap.since for gap in gaps)),
            "gaps_in_all": len(gaps),
            "gaps": [_gap(gap, beside) for gap in sorted(gaps, key=lambda gap: gap.place)[:LISTED]],
        },
        settled=True,
    )


def _gap(gap: Lost, beside: Sequence[Lost]) -> dict[str, Any]:
    """A gap; beside its rows those of the same gap that the outbox counted as dropped."""
    dropped = sum(other.rows for other in beside if other.fate == "dropped" and other.place == gap.place)
    return {
        "session": gap.session,
        "first": gap.first if gap.first <= gap.last else None,
        "last": gap.last if gap.first <= gap.last else None,
        "before": gap.last + 1,
        "rows": gap.rows,
        "dropped": gap.rows if gap.fate == "dropped" else dropped,
        "counted_at": written(gap.counted_at),
        "since": written(gap.since),
    }
