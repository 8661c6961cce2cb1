"""Rows that the outbox of an edge had to drop.

What it says    in one UTC hour of the books of one edge, rows are missing that its outbox dropped and counted.
Why it matters  they are explained, and lost all the same: hours may stay undecided, and an outage that is longer than
                the outbox is large can be arranged.
Not for         rows that nothing explains (`rows_unexplained`), and rows that wait in the outbox.
Source          the contract: every row that an outbox drops is counted and reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alerts.rules.finding import Finding, Series
from alerts.rules.lost import Lost, finding, gaps_of

NAME: Final = "rows_dropped"


def judge(series: Series, hour: int, lost: Sequence[Lost], *, now: int, stands: bool = False) -> Finding | None:
    """The finding in *hour*, or None where no row has been dropped for long enough; *stands*: see `gaps_of`."""
    gaps = gaps_of("dropped", lost, now=now, stands=stands)
    return finding(series, "warning", hour, gaps, lost) if gaps else None
