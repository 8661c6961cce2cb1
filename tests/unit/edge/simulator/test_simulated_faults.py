"""Each fault of the catalogue does to the rows what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alerts.rules.catalogue import names
from edge.simulator.catalogue import CATALOGUE
from edge.simulator.expected import EXPECTED, SHORTEST_H, expected_of
from edge.simulator.faults import HOUR_MS, Fault, impossible
from edge.simulator.kinds import KINDS
from edge.simulator.loggers import columns
from fakes.imagined import BEGIN_MS, DAY_MS, Rows, a_fault, a_stack, a_works, by_stack

STACK = "sinter_strand"


def rows_with(*faults: Fault, hours: float = 48) -> list[dict[str, Any]]:
    rows: Rows = by_stack(*columns(a_works(a_stack(STACK), faults=faults), BEGIN_MS, BEGIN_MS + round(hours * HOUR_MS)))
    return rows[STACK]


def mean(rows: list[dict[str, Any]], channel: str, first_h: float, last_h: float) -> float:
    part = rows[round(first_h * 60) : round(last_h * 60)]
    return float(np.mean([row[channel] for row in part if row["flag"] == "N"]))


def ratio(rows: list[dict[str, Any]], channel: str) -> float:
    """Of the last ten hours of the fault to the same hours without it."""
    return mean(rows, channel, 38, 48) / mean(rows_with(), channel, 38, 48)


@pytest.mark.parametrize(
    ("kind", "channel", "moved", "least", "most"),
    [
        pytest.param("abatement_loss", "so2", "so2", 10, 16, id="abatement_loss"),
        pytest.param("bag_leak", "", "pm", 3, 5, id="bag_leak"),
        pytest.param("scr_trip", "", "nox", 6, 8, id="scr_trip"),
        pytest.param("reagent_out", "", "so2", 9, 13, id="reagent_out"),
        pytest.param("bypass", "", "nox", 1.6, 2.4, id="bypass"),
        pytest.param("abatement_off", "", "power_abatement_kw", 0.0, 0.02, id="abatement_off"),
        pytest.param("abatement_throttled", "", "power_abatement_kw", 0.45, 0.55, id="abatement_throttled"),
        pytest.param("hugging", "so2", "so2", 1.4, 1.8, id="hugging"),
        pytest.param("air_ingress", "", "so2", 0.5, 0.6, id="air_ingress"),
        pytest.param("diluted_sample", "", "nox", 0.58, 0.62, id="diluted_sample"),
        pytest.param("drift", "nox", "nox", 0.5, 0.7, id="drift"),
        pytest.param("rescaled", "nox", "nox", 0.59, 0.61, id="rescaled"),
        pytest.param("oxygen_pressed", "o2", "o2", 0.91, 0.93, id="oxygen_pressed"),
        pytest.param("night_furnace", "", "load_pct", 1.0, 1.0, id="night_furnace"),
        pytest.param("clipped_range", "nox", "nox", 0.8, 0.95, id="clipped_range"),
    ],
)
def test_a_fault_moves_what_it_says_by_as_much(kind: str, channel: str, moved: str, least: float, most: float) -> None:
    assert least <= ratio(rows_with(a_fault(kind, STACK, channel=channel)), moved) <= most


@pytest.mark.parametrize("kind", sorted(kind for kind, what in CATALOGUE.items() if not what.whole_works))
def test_before_it_begins_a_fault_changes_nothing(kind: str) -> None:
    channel = next(iter(CATALOGUE[kind].channels), "")
    assert rows_with(a_fault(kind, STACK, channel=channel), hours=23) == rows_with(hours=23)


def test_a_dilution_lowers_every_pollutant_by_the_share_of_oxygen_that_is_missing() -> None:
    clean, diluted = rows_with(), rows_with(a_fault("diluted_sample", STACK))
    gap = (20.9 - mean(diluted, "o2", 30, 48)) / (20.9 - mean(clean, "o2", 30, 48))
    for pollutant in ("so2", "nox"):
        assert mean(diluted, pollutant, 30, 48) / mean(clean, pollutant, 30, 48) == pytest.approx(gap, rel=0.03)
    assert gap == pytest.approx(0.6, rel=0.02)
    assert mean(diluted, "flow", 30, 48) == mean(clean, "flow", 30, 48)


def test_a_frozen_value_is_the_last_one_before() -> None:
    rows = rows_with(a_fault("frozen", STACK, channel="so2"))
    assert {row["so2"] for row in rows[1440:]} == {rows[1439]["so2"]}
    assert len({row["nox"] for row in rows[1440:]}) > 50


def test_copied_values_are_those_of_the_other_stack_to_the_last_digit() -> None:
    plans = (a_stack(STACK), a_stack(STACK, "other"))
    fault = a_fault("copied_values", STACK, channel="nox", source="other")
    rows: Rows = by_stack(*columns(a_works(*plans, faults=(fault,)), BEGIN_MS, BEGIN_MS + 30 * HOUR_MS))
    alike = [mine["nox"] == theirs["nox"] for mine, theirs in zip(rows[STACK], rows["other"], strict=True)]
    assert all(alike[24 * 60 :])
    assert sum(alike[: 24 * 60]) < 100
    assert [row["so2"] for row in rows[STACK]] != [row["so2"] for row in rows["other"]]


def test_a_stack_alone_still_shows_the_values_of_the_one_it_copies() -> None:
    plans = (a_stack(STACK), a_stack(STACK, "other"), a_stack(STACK, "third"), a_stack(STACK, "fourth"))
    copies = (("other", "third"), (STACK, "other"))
    faults = tuple(a_fault("copied_values", stack, channel="nox", source=source) for stack, source in copies)
    works = a_works(*plans, faults=faults)
    whole: Rows = by_stack(*columns(works, BEGIN_MS, BEGIN_MS + 30 * HOUR_MS))
    alone: Rows = by_stack(*columns(works.only([STACK]), BEGIN_MS, BEGIN_MS + 30 * HOUR_MS))
    assert set(alone) == {STACK, "other", "third"}
    assert alone[STACK] == whole[STACK]


def test_a_furnace_at_night_surges_and_swings_for_eight_hours_of_each_day() -> None:
    rows, without = rows_with(a_fault("night_furnace", STACK, hours=48), hours=54), rows_with(hours=54)
    more = [row["power_production_kw"] - other["power_production_kw"] for row, other in zip(rows, without, strict=True)]
    surges = [kw > 17_000 for kw in more]
    assert all(kw == 0 for kw, surge in zip(more, surges, strict=True) if not surge)
    by_hour = [sum(surges[hour * 60 : hour * 60 + 60]) for hour in range(54)]
    assert not any(by_hour[:24] + by_hour[32:48])
    assert all(20 <= minutes <= 50 for minutes in by_hour[24:32] + by_hour[48:54])


def test_a_zero_that_lies_too_low_shows_less_than_nothing() -> None:
    assert mean(rows_with(a_fault("zero_shift", STACK, channel="nox")), "nox", 25, 48) < 0


def test_flags_that_lie_come_with_the_bursts_they_hide() -> None:
    rows = rows_with(a_fault("lying_flags", STACK, channel="so2"))
    hidden = [row for row in rows if row.get("flags", {}).get("so2") == "M"]
    seen = [row for row in rows[1440:] if row["flag"] == "N" and "so2" not in row.get("flags", {})]
    assert len(hidden) == pytest.approx(6 * 60, abs=12)
    assert np.mean([row["so2"] for row in hidden]) > 2 * np.mean([row["so2"] for row in seen])


def test_a_works_that_lies_still_says_stopped_and_breathes() -> None:
    rows = rows_with(a_fault("suspended_but_running", STACK))
    during = rows[1440:]
    assert {row["state"] for row in during} == {"stopped"}
    assert min(row["power_production_kw"] for row in during) > 1000
    assert min(row["temperature"] for row in during) > 90


def test_a_missed_calibration_leaves_no_flag() -> None:
    rows = rows_with(a_fault("calibration_missed", STACK, after_h=0, hours=48))
    assert "C" not in {row["flag"] for row in rows}


def test_rows_that_are_lost_never_come() -> None:
    rows = rows_with(a_fault("rows_lost", STACK, hours=2))
    assert len(rows) == 46 * 60


def test_a_wrong_clock_stamps_rows_where_others_stood() -> None:
    stamps = [row["sampled_at"] for row in rows_with(a_fault("clock_step", STACK, hours=3, amount=600.0))]
    assert len(stamps) == 48 * 60
    assert len(stamps) - len(set(stamps)) == 10
    assert stamps[1440] == BEGIN_MS + DAY_MS + 600_000


def test_a_fault_is_refused_where_it_cannot_be() -> None:
    hot_stove, dust = a_stack("hot_stove").stack, a_stack("dust_collector").stack
    said = {
        kind: impossible(a_fault(kind, "x", channel=channel), stack, KINDS[behind])
        for kind, channel, stack, behind in (
            ("scr_trip", "", hot_stove, "hot_stove"),
            ("abatement_loss", "so2", hot_stove, "hot_stove"),
            ("bypass", "", hot_stove, "hot_stove"),
            ("frozen", "so2", dust, "dust_collector"),
            ("drift", "", dust, "dust_collector"),
            ("bag_leak", "pm", dust, "dust_collector"),
            ("rows_lost", "", dust, "dust_collector"),
        )
    }
    assert said.pop("rows_lost") is None
    assert all(said.values())
    no_abatement = said["scr_trip"]
    assert no_abatement is not None
    assert "no abatement of nox" in no_abatement


def test_every_fault_says_what_it_must_cause_in_names_that_are_listed() -> None:
    assert set(EXPECTED) == set(CATALOGUE)
    for kind in CATALOGUE:
        expected = expected_of(kind, 1000, above=True)
        assert {*expected.must, *expected.by_clock, *expected.may} <= set(names())
        assert "hour_above_limit" in expected.must
    assert set(SHORTEST_H) <= set(names())


def test_a_value_that_stands_for_an_hour_need_not_be_found_constant() -> None:
    assert expected_of("frozen", 1, above=False).must == ()
    assert "constant" in expected_of("frozen", 1, above=False).may
    assert expected_of("frozen", 5, above=False).must == ("constant",)
