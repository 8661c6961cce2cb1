"""Rows that an edge counted as sent, that never arrived, and that nothing explains.

What it says    in one UTC hour of the books of one edge, rows are missing that the edge neither holds nor dropped,
                and that are in no quarantine.
Why it matters  nothing is lost without a trace: either a part of the path failed (a database restored from an older
                backup, a bug), or somebody took evidence away. An inspector has to know which.
Not for         rows in flight, rows that the outbox dropped and counted (`rows_dropped`), and rows that nobody ever
                counted: those are missing, not unexplained.
Source          the contract: the books balance, and `unexplained` is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alerts.rules.finding import Finding, Series
from alerts.rules.lost import Lost, finding, gaps_of

NAME: Final = "rows_unexplained"


def judge(series: Series, hour: int, lost: Sequence[Lost], *, now: int, stands: bool = False) -> Finding | None:
    """The finding in *hour*, or None where no row has been unexplained for long enough; *stands*: see `gaps_of`."""
    gaps = gaps_of("unexplained", lost, now=now, stands=stands)
    return finding(series, "major", hour, gaps, lost) if gaps else None
