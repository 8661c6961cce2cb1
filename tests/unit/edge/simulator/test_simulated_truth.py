"""The truth file: computed from the rows, so it must agree with them and with what was planted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from edge.simulator.activity import Effect
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.played import SimulatedSite
from edge.simulator.scenario import load_scenario
from edge.simulator.truth import Played, truth_of
from edge.simulator.works import Works
from fakes.imagined import BEGIN_MS, DAY_MS, a_fault, a_stack, a_works
from plant.channels import CHANNELS
from plant.hours import average_hours
from plant.packs import outlets_by_pack, pack
from plant.readings import Rows
from plant.register import Stack, parse_register
from plant.verdicts import judge_hours, method_of

MONTH = 31
DAYS = 8  #: of the scenario of faults: long before a clock goes wrong


def truth(works: Works, days: float = 4, **more: Any) -> dict[str, Any]:
    played = Played(works=works, until_ms=BEGIN_MS + round(days * DAY_MS), **more)
    return truth_of([played], scenario="x", digest="d", seed=7)


def entry(fault: Fault, kind: str = "sinter_strand") -> dict[str, Any]:
    (found,) = truth(a_works(a_stack(kind), faults=(fault,)))["faults"]
    return dict(found)


def hours(found: dict[str, Any], pollutant: str, series: str, verdict: str) -> int:
    return sum(len(v[series][verdict]) for v in found["verdicts"] if v["pollutant"] == pollutant)


def not_clear(document: dict[str, Any]) -> dict[tuple[str, str, str], int]:
    return {
        (stack["stack"], hour["pollutant"], verdict): len(starts)
        for site in document["sites"]
        for stack in site["stacks"]
        for hour in stack["hours"]
        for verdict, starts in hour["shown"].items()
        if starts
    }


@pytest.mark.parametrize(("seed", "days"), [(1, 20), (2, 5), (3, 5)])
def test_every_kind_without_a_fault_is_clear(seed: int, days: int) -> None:
    assert not_clear(truth(a_works(seed=seed), days)) == {}


def test_the_clean_month_has_only_the_hours_of_its_planned_stop() -> None:
    scenario = load_scenario("clean-month")
    found = not_clear(truth(scenario.works("clean-works", BEGIN_MS), MONTH))
    assert {(stack, verdict) for stack, _, verdict in found} == {("SINTER", "excluded")}
    assert 44 <= found["SINTER", "so2", "excluded"] <= 47


def test_in_the_demo_the_breakdown_breaches_the_month_and_nothing_else_is_above_a_limit() -> None:
    found = not_clear(truth(load_scenario("demo").works("demo-works", BEGIN_MS), MONTH))
    wrong = found.pop(("DA001", "so2", "breached"))
    assert found == {}
    assert 55 <= wrong <= 62
    assert (MONTH * 24 - wrong) / (MONTH * 24) < 0.95


def test_a_broken_abatement_is_above_the_limit_in_the_rows_and_in_truth() -> None:
    found = entry(a_fault("scr_trip", "sinter_strand"))
    assert hours(found, "nox", "shown", "breached") == hours(found, "nox", "real", "breached") >= 24
    assert "hour_above_limit" in found["rules"]
    assert found["pollutants"] == ["nox"]
    assert (found["start"], found["end"]) == ("2026-11-01T16:00:00Z", "2026-11-02T16:00:00Z")


def test_a_diluted_sample_hides_nothing_where_the_limit_is_corrected_and_all_where_it_is_not() -> None:
    """Correction to base oxygen gives back what the air took; a hot stove has no base."""
    corrected = entry(a_fault("diluted_sample", "sinter_strand"))
    assert corrected["verdicts"] == []
    assert corrected["rules"] == ["dilution"]


def test_flags_that_lie_turn_breaches_into_undecided_hours() -> None:
    found = entry(a_fault("lying_flags", "sinter_strand", channel="so2", amount=8.0))
    assert hours(found, "so2", "real", "breached") >= 6
    assert hours(found, "so2", "shown", "breached") == 0
    assert hours(found, "so2", "shown", "undecided") >= 6
    assert found["rules"] == ["claims_follow_values"]


def test_a_cut_off_value_is_clear_in_the_rows_and_above_the_limit_in_truth() -> None:
    found = entry(a_fault("clipped_range", "coal_boiler", channel="so2", amount=20.0), "coal_boiler")
    assert hours(found, "so2", "shown", "breached") == 0
    assert hours(found, "so2", "real", "breached") >= 20
    assert found["amount"] == {"at": 20.0}


def test_a_value_pressed_below_its_limit_hugs_it_while_the_gas_is_above() -> None:
    found = entry(a_fault("hugging", "hot_stove", channel="so2", amount=47.5, after_h=12, hours=80), "hot_stove")
    assert hours(found, "so2", "shown", "breached") == 0
    assert hours(found, "so2", "real", "breached") > 60
    assert found["rules"] == ["hugging_the_limit"]


def test_a_works_that_lies_still_is_excluded_in_the_rows_only() -> None:
    found = entry(a_fault("suspended_but_running", "coke_battery"), "coke_battery")
    assert hours(found, "nox", "shown", "excluded") == 24
    assert hours(found, "nox", "real", "excluded") == 0


def test_lost_rows_leave_hours_undecided() -> None:
    found = entry(a_fault("rows_lost", "sinter_strand", hours=5))
    assert hours(found, "pm", "shown", "undecided") == 5
    assert hours(found, "pm", "real", "undecided") == 0


def test_no_verdict_is_promised_where_two_rows_have_one_stamp() -> None:
    found = entry(a_fault("clock_step", "sinter_strand", hours=3))
    assert {verdict["shown"] for verdict in found["verdicts"]} == {None}
    assert found["rules"] == ["conflicts"]
    assert found["rules_by_clock"] == ["clock_skew"]


def test_a_fault_that_has_not_begun_is_not_in_the_truth_and_one_that_lasts_ends_with_it() -> None:
    late = a_fault("scr_trip", "sinter_strand", after_h=200)
    open_ended = a_fault("bag_leak", "sinter_strand", after_h=90, hours=100)
    document = truth(a_works(a_stack("sinter_strand"), faults=(late, open_ended)))
    (found,) = document["faults"]
    assert found["end"] == document["sites"][0]["to"]


def test_a_stop_that_repairs_ends_the_fault() -> None:
    stop = Effect(unit="U-sinter_strand", mode="stop", since_ms=BEGIN_MS + 30 * HOUR_MS)
    works = a_works(a_stack("sinter_strand"), faults=(a_fault("scr_trip", "sinter_strand"),))
    (found,) = truth(works, effects=(stop,))["faults"]
    assert found["end"] == "2026-11-01T22:00:00Z"


def test_the_truth_is_the_same_in_whatever_pieces_it_is_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    works = a_works(faults=(a_fault("bypass", "coal_boiler"), a_fault("rows_lost", "hot_stove", hours=7)))
    whole = truth(works)
    monkeypatch.setattr("edge.simulator.truth._AT_ONCE", 3000)
    assert truth(works) == whole


def test_the_hours_are_named_by_their_local_start_and_judged_by_the_packs_of_the_stack() -> None:
    document = truth(a_works(a_stack("gas_turbine"), faults=(a_fault("scr_trip", "gas_turbine"),)))
    (stack,) = document["sites"][0]["stacks"]
    assert {hour["pack"] for hour in stack["hours"]} == {"cn-steel-ule-2019"}
    assert {hour["pollutant"] for hour in stack["hours"]} == set(pack("cn-steel-ule-2019").outlet("gas_turbine").limits)
    (nox,) = (hour for hour in stack["hours"] if hour["pollutant"] == "nox")
    assert all(datetime.fromisoformat(start).minute == 0 for start in nox["shown"]["breached"])


def test_who_judges_the_rows_as_they_are_sent_finds_the_hours_of_the_truth() -> None:
    """From the frames alone, as a stranger reads them."""
    site = SimulatedSite("faults", seed=11)
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for row in site.play(days=DAYS):
        rows.setdefault(row["stack"], {})[row["sampled_at"]] = row
    wanted = truth_hours(site.truth())
    assert len(wanted) > 60
    found = set()
    for stack in parse_register(site.register_toml(), "register", packs=outlets_by_pack()).sites[0].stacks:
        read = as_read(sorted(rows[stack.code].items()))
        for pollutant in pack("cn-steel-ule-2019").outlet(stack.process).limits:
            found |= judged(stack, pollutant, read)
    assert found == wanted


def truth_hours(document: dict[str, Any]) -> set[tuple[str, str, str, int]]:
    return {
        (stack["stack"], hour["pollutant"], verdict, round(datetime.fromisoformat(start).timestamp() * 1000))
        for stack in document["sites"][0]["stacks"]
        for hour in stack["hours"]
        for verdict, starts in hour["shown"].items()
        for start in starts
    }


def as_read(rows: list[tuple[int, dict[str, Any]]]) -> Rows:
    names = {name for name in rows[0][1] if name in CHANNELS}
    return Rows(
        sampled_at=np.array([at * 1000 for at, _ in rows]),
        interval_s=np.array([row["interval_s"] for _, row in rows]),
        not_running=np.array([row["state"] != "running" for _, row in rows]),
        values={name: np.array([row.get(name, np.nan) for _, row in rows]) for name in names},
        flags={
            name: np.array([ord(row.get("flags", {}).get(name, row["flag"])) for _, row in rows], dtype=np.uint8)
            for name in names
        },
        row_flag=np.array([ord(row["flag"]) for _, row in rows], dtype=np.uint8),
    )


def judged(stack: Stack, pollutant: str, rows: Rows) -> set[tuple[str, str, str, int]]:
    first, n_hours = int(rows.sampled_at[0]), DAYS * 24
    rules = pack("cn-steel-ule-2019")
    method = method_of(rules, stack.process, already_corrected=False)
    means = average_hours({"main": rows}, pollutant, stack, method, first=first, n_hours=n_hours)
    verdicts = judge_hours(
        means, rules, stack.process, pollutant, already_corrected=False, now=first + (n_hours + 1) * HOUR_MS * 1000
    )
    return {
        (stack.code, pollutant, str(verdict), first // 1000 + hour * HOUR_MS)
        for hour, verdict in enumerate(verdicts.verdict)
        if verdict != "clear"
    }
