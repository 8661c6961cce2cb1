"""Judging history: 100 stacks, one year of minute rows, every rule, on one core.

Two works of the simulator's `country` are written into Parquet files and judged as `stackwatch backtest` judges them.
`seconds` is judging, hours to alerts; `read_seconds` is reading the files and
sorting them by stack, measured by itself. All are seconds of the processor.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Final

from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import Folder, open_folder
from alerts.backtest.running import Asked, cuts_of, judge_history
from alerts.rules.catalogue import RULES
from benchmarks.report import arguments, publish
from edge.simulator.parquet import write_works
from edge.simulator.scenario import load_scenario
from plant.packs import outlets_by_pack
from plant.register import parse_register

BEGIN_MS: Final = 1_735_660_800_000  # 2025-01-01 00:00 at UTC+8
DAY_MS: Final = 86_400_000
WORKS: Final = ("works-007", "works-008")


def write(folder: Path, code: str, days: int) -> Folder:
    """One works of 50 stacks as a file, opened."""
    scenario = load_scenario("country")
    write_works(scenario.works(code, BEGIN_MS), BEGIN_MS + days * DAY_MS, folder / f"{code}.parquet")
    register = parse_register(scenario.register_toml(code), "country", packs=outlets_by_pack())
    return open_folder(folder, register)


def read_seconds(source: FolderSource) -> float:
    begun = time.process_time()
    for site in source.sites.values():
        span = source.span(site)
        assert span is not None
        for cut in cuts_of(site, span):
            for _ in source.folder.read(cut.site, first=cut.first, end=cut.end, stacks=cut.stacks):
                pass
    return time.process_time() - begun


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--works", type=int, default=len(WORKS), help="works of 50 stacks")
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    seconds = reading = 0.0
    rows = stacks = alerts = 0
    for code in WORKS[: asked.works]:
        with tempfile.TemporaryDirectory(prefix="stackwatch-backtest-") as name:
            folder = write(Path(name), code, asked.days)
            source = FolderSource(folder, Asked())
            reading_here = read_seconds(source)
            begun = time.process_time()
            result = judge_history(source)
            seconds += time.process_time() - begun - reading_here
            reading += reading_here
            rows += result.rows
            alerts += len(result.alerts)
            stacks += sum(len(site.stacks) for site in folder.sites)
    figures = {
        "stacks": stacks,
        "months": round(asked.days / 365 * 12, 2),
        "rows": rows,
        "seconds": round(seconds, 2),
        "read_seconds": round(reading, 2),
        "rows_per_s": round(rows / seconds),
        "rules": len(RULES),
        "alerts": alerts,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    publish(figures, as_json=asked.json)


if __name__ == "__main__":
    main()
