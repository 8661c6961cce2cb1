"""Rows per second through conversion, minutes, hours and verdicts: 100 stacks, one year of minute rows, one core."""

from __future__ import annotations

import resource
import time
from typing import Final

import numpy as np

from benchmarks.report import publish
from plant.hours import average_hours
from plant.packs import pack
from plant.periods import HOUR, MINUTE, instant, micros
from plant.readings import NORMAL, Rows
from plant.register import Channel, Stack
from plant.verdicts import judge_hours, method_of

STACKS: Final = 100
HOURS: Final = 8760
START: Final = micros(instant(1_735_660_800 * 1_000_000))  # 2025-01-01 00:00 at UTC+8


def a_year(rng: np.random.Generator) -> Rows:
    """One stack's year: pollutants, oxygen, flow, a flag now and then."""
    n = HOURS * 60
    values = {"so2": 9.0, "nox": 17.0, "pm": 5.0, "o2": 15.0, "velocity": 15.0}
    values |= {"moisture": 8.0, "temperature": 120.0, "pressure": -300.0}
    row_flag = np.full(n, NORMAL, dtype=np.uint8)
    row_flag[rng.integers(0, n, n // 100)] = ord("C")
    return Rows(
        sampled_at=START + np.arange(n, dtype=np.int64) * MINUTE,
        interval_s=np.full(n, 60, dtype=np.int64),
        not_running=np.zeros(n, dtype=bool),
        values={name: rng.normal(mean, abs(mean) / 20, n) for name, mean in values.items()},
        flags={},
        row_flag=row_flag,
    )


def judge(rows: Rows, stack: Stack) -> int:
    """How many hours of the three pollutants are above the limit."""
    rules = pack("cn-steel-ule-2019")
    above = 0
    for pollutant in rules.outlet(stack.process).limits:
        method = method_of(rules, stack.process, already_corrected=False)
        means = average_hours({"main": rows}, pollutant, stack, method, first=START, n_hours=HOURS)
        verdicts = judge_hours(
            means, rules, stack.process, pollutant, already_corrected=False, now=START + (HOURS + 1) * HOUR
        )
        above += int((verdicts.verdict == "breached").sum())
    return above


def main() -> None:
    stack = Stack(
        code="A",
        name="A",
        process="sinter_head",
        packs=("cn-steel-ule-2019",),
        interval_s=60,
        area_m2=20.0,
        channels={
            "so2": Channel(unit="ppm", wet=True, range=(0.0, 200.0)),
            "nox": Channel(unit="ppm", wet=True, range=(0.0, 200.0)),
            "pm": Channel(wet=True, actual_state=True, range=(0.0, 50.0)),
            "o2": Channel(wet=True, range=(0.0, 25.0)),
        },
    )
    rng = np.random.default_rng(1)
    seconds, rows = 0.0, 0
    for _ in range(STACKS):
        year = a_year(rng)
        begun = time.process_time()
        judge(year, stack)
        seconds += time.process_time() - begun
        rows += year.sampled_at.size
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "peak_mb": round(peak_mb, 1),
    }
    publish(figures, __doc__)


if __name__ == "__main__":
    main()
