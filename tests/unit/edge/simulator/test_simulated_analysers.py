"""What the analysers show: in the register's unit, late, noisy, rounded, cut off, and calibrated every day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.simulator.analyser import PURGE_EVERY_S, PURGE_S
from edge.simulator.faults import HOUR_MS
from edge.simulator.loggers import columns
from edge.simulator.works import Block, Works
from fakes.imagined import BEGIN_MS, DAY_MS, a_fault, a_stack, a_works, by_stack
from plant.periods import SECOND
from plant.readings import Rows, reading
from plant.register import Channel, Stack

RAW = {
    "so2": Channel(unit="ppm", wet=True),
    "nox": Channel(unit="ppm", wet=True),
    "pm": Channel(wet=True, actual_state=True),
    "o2": Channel(wet=True),
}


def a_block(works: Works, days: float) -> Block:
    ((block, _),) = works.blocks(works.begin, BEGIN_MS + round(days * DAY_MS), at_once_ms=round(days * DAY_MS))
    return block


def as_rows(works: Works, block: Block) -> Rows:
    n = block.at_ms.size
    return Rows(
        sampled_at=block.at_ms * (SECOND // 1000),
        interval_s=np.full(n, works.step_s, dtype=np.int64),
        not_running=np.zeros(n, dtype=bool),
        values={name: block.shown[row, :, 0] for row, name in enumerate(works.analysers.channels)},
        flags={},
        row_flag=block.flag[:, 0],
    )


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param({}, id="dry_standard"),
        pytest.param(RAW, id="raw_wet_ppm_actual"),
        pytest.param({"so2": Channel(slope=1.25, intercept=-2.0), "o2": Channel(slope=0.9)}, id="by_a_registered_line"),
    ],
)
def test_the_registers_conversions_lead_back_to_the_gas(channels: dict[str, Channel]) -> None:
    works = a_works(a_stack("sinter_strand", channels=channels, ambient_pressure_pa=100_200.0))
    block = a_block(works, 3)
    normal = block.flag[:, 0] == ord("N")
    for pollutant in ("so2", "nox", "pm"):
        read = reading(as_rows(works, block), pollutant, works.stacks[0].stack, with_oxygen=True)
        true = getattr(block.gas, pollutant)[:, 0]
        assert float(read.value[normal].mean()) == pytest.approx(float(true[normal].mean()), rel=0.04)
        assert float(read.o2[normal].mean()) == pytest.approx(float(block.gas.o2[normal, 0].mean()), rel=0.01)


def test_a_corrected_channel_is_at_the_base_oxygen() -> None:
    plan = replace(a_stack("sinter_strand", channels={"so2": Channel(corrected=True)}), base_o2=16.0)
    block = a_block(a_works(plan), 1)
    normal = block.flag[:, 0] == ord("N")
    true = (block.gas.so2 * (21 - 16) / (21 - block.gas.o2))[normal, 0]
    assert float(block.shown[0, normal, 0].mean()) == pytest.approx(float(true.mean()), rel=0.03)


def test_nitrogen_oxides_may_be_two_channels() -> None:
    works = a_works(a_stack("gas_turbine", nox_from="no_no2"))
    block = a_block(works, 1)
    normal = block.flag[:, 0] == ord("N")
    read = reading(as_rows(works, block), "nox", works.stacks[0].stack, with_oxygen=False)
    assert float(read.value[normal].mean()) == pytest.approx(float(block.gas.nox[normal, 0].mean()), rel=0.06)
    frame, _ = columns(works, BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert {"no", "no2"} <= set(frame)
    assert "nox" not in frame


def test_a_step_in_the_gas_is_seen_to_nine_tenths_after_the_response_time() -> None:
    works = a_works(a_stack("gas_turbine"), step_s=1)
    seen = np.zeros((len(works.analysers.channels), 400, 1))
    row = works.analysers.channels.index("so2")
    seen[row, 1:] = 100.0
    quiet = replace(works.analysers, low=works.analysers.low * 0, high=works.analysers.high * 0)
    block = a_block(works, 400 / 86_400)
    line = works._routine.line(works._clock(block.at_ms), np.zeros((400, 1), dtype=bool))
    calm = replace(line, zero=line.zero & False, span=line.span & False, air=line.air & False)
    shown, _ = quiet.shown(seen, calm, works._clock(block.at_ms), None)
    assert shown[row, 120, 0] == pytest.approx(90.0, abs=1.5)
    assert shown[row, 30, 0] < 50


def test_a_calibration_shows_zero_and_span_gas_and_says_so_a_few_minutes_a_day() -> None:
    works = a_works(a_stack("sinter_strand", channels={"so2": Channel(range=(0.0, 200.0))}))
    rows = by_stack(*columns(works, BEGIN_MS, BEGIN_MS + DAY_MS))["sinter_strand"]
    flagged = [index for index, row in enumerate(rows) if row["flag"] == "C"]
    assert flagged == list(range(200, 209))
    so2 = [rows[index]["so2"] for index in flagged]
    assert so2[2] < 10
    assert so2[5] == pytest.approx(160, rel=0.1)
    assert rows[209]["so2"] < 60


def test_the_probe_is_purged_and_the_patrol_comes_once_a_week() -> None:
    rows = by_stack(*columns(a_works(a_stack("coal_boiler")), BEGIN_MS, BEGIN_MS + 7 * DAY_MS))["coal_boiler"]
    maintained = sum(row["flag"] == "M" for row in rows)
    purges = 7 * 86_400 // PURGE_EVERY_S * (PURGE_S // 60)
    assert purges <= maintained <= 2 * purges + 12
    hours: dict[int, int] = {}
    for row in rows:
        hours[row["sampled_at"] // HOUR_MS] = hours.get(row["sampled_at"] // HOUR_MS, 0) + (row["flag"] == "N")
    assert min(hours.values()) >= 45, "routine work leaves every hour valid"


def test_values_have_the_resolution_of_the_instrument() -> None:
    frame, _ = columns(a_works(), BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert all(value is None or round(value, 1) == value for value in frame["so2"])
    assert all(value is None or round(value, 2) == value for value in frame["pm"])


def test_what_is_over_the_range_is_cut_off_and_flagged() -> None:
    small = a_stack("sinter_strand", channels={"nox": Channel(range=(0.0, 100.0))})
    works = a_works(small, faults=(a_fault("scr_trip", "sinter_strand", after_h=1, hours=5),))
    rows = by_stack(*columns(works, BEGIN_MS, BEGIN_MS + 5 * HOUR_MS))["sinter_strand"]
    over: list[dict[str, Any]] = [row for row in rows if row.get("flags", {}).get("nox") == "T"]
    assert len(over) > 60
    assert {row["nox"] for row in over} == {100.0}
    assert all(row["so2"] < 100 for row in rows[:60])


def test_what_a_stack_does_not_measure_is_no_channel_of_it() -> None:
    stack: Stack = a_stack("dust_collector").stack
    works = a_works(a_stack("dust_collector"))
    measured = {n for n, m in zip(works.analysers.channels, works.analysers.measured[:, 0], strict=True) if m}
    assert stack.process == "bof_secondary"
    assert measured == {"pm", "moisture", "temperature", "pressure", "velocity"}
