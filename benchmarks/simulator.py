"""A year of minutes of 50 stacks, of every kind, through gas, analysers and faults, on one core.

`seconds` is the works itself, as arrays. `rows_per_s_published` adds the columns, frames and JSON that an edge sends.
`truth_seconds` is the truth of the same year: every row reckoned once more and judged twice, as shown and as it was.
"""

from __future__ import annotations

import resource
import time
from typing import Final

from benchmarks.report import publish
from edge.simulator.delivery import made
from edge.simulator.faults import HOUR_MS
from edge.simulator.scenario import load_scenario
from edge.simulator.truth import Played, truth_of
from edge.simulator.works import Works
from plant import wire

BEGIN_MS: Final = 1_735_660_800_000  # 2025-01-01 00:00 at UTC+8
DAY_MS: Final = 24 * HOUR_MS
YEAR_DAYS: Final = 365
PUBLISHED_DAYS: Final = 2


def a_works() -> Works:
    return load_scenario("country").works("works-007", BEGIN_MS)


def seconds_of_a_year(works: Works) -> tuple[float, int]:
    rows = 0
    begun = time.process_time()
    for block, _ in works.blocks(works.begin, BEGIN_MS + YEAR_DAYS * DAY_MS):
        rows += block.flag.size
    return time.process_time() - begun, rows


def published_per_s(works: Works) -> float:
    """Rows per second up to the bytes of their frames."""
    rows, state = 0, works.begin
    begun = time.process_time()
    while state.at_ms < BEGIN_MS + PUBLISHED_DAYS * DAY_MS:
        state, frames, count = made(works, state, state.at_ms + HOUR_MS // 2, (), (), per_frame=200)
        rows += count
        for frame, _ in frames:
            wire.encode(frame)
    return rows / (time.process_time() - begun)


def truth_seconds(works: Works) -> float:
    begun = time.process_time()
    played = Played(works=works, until_ms=BEGIN_MS + YEAR_DAYS * DAY_MS)
    truth_of([played], scenario="country", digest="", seed=works.seed)
    return time.process_time() - begun


def main() -> None:
    works = a_works()
    seconds, rows = seconds_of_a_year(works)
    figures = {
        "stacks": len(works.stacks),
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "rows_per_s_published": round(published_per_s(works)),
        "truth_seconds": round(truth_seconds(works), 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    publish(figures, __doc__)


if __name__ == "__main__":
    main()
