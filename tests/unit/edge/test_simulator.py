from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from edge.simulator.noise import key, smooth, uniform, white
from edge.simulator.scenario import Scenario, load_scenario, parse_scenario
from edge.simulator.works import MINUTE_MS, STARTING_MIN, STOPPING_MIN, Effect
from plant.errors import BadDocument
from plant.packs import pack as rule_pack

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def demo() -> Scenario:
    return load_scenario("demo")


def begin_ms(scenario: Scenario) -> int:
    return round(scenario.begin(NOW).timestamp() * 1000)


def rows(frame: dict[str, Any], number: int) -> Rows:
    """Rows by stack."""
    by_stack: Rows = defaultdict(list)
    for index in range(number):
        row = {name: value[index] if isinstance(value, list) else value for name, value in frame.items()}
        by_stack[row["stack"]].append(row)
    return by_stack


def hour_means(stack_rows: list[dict[str, Any]], pollutant: str, base_o2: float | None) -> list[tuple[int, float]]:
    """Corrected means of hours with 45 valid running minutes, by the formula of the contract."""
    by_hour: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in stack_rows:
        if row["flag"] == "N" and row["state"] == "running":
            by_hour[row["sampled_at"] // HOUR_MS].append(row)
    means = []
    for hour, members in sorted(by_hour.items()):
        if len(members) < 45:
            continue
        mean = float(np.mean([row[pollutant] for row in members]))
        o2 = float(np.mean([row["o2"] for row in members]))
        means.append((hour, mean if base_o2 is None else mean * (21 - base_o2) / (21 - o2)))
    return means


def test_any_chunking_gives_the_same_rows(demo: Scenario) -> None:
    start = begin_ms(demo)
    works = demo.works(start)
    effects = (Effect(unit="S1", mode="stop", since_ms=start + HOUR_MS, until_ms=start + 4 * HOUR_MS),)
    whole = rows(*works.columns(start, start + 10 * HOUR_MS, effects))
    pieces: Rows = defaultdict(list)
    at = start
    for minutes in (1, 7, 59, 1, 132, 400):
        for stack, part in rows(*works.columns(at, at + minutes * MINUTE_MS, effects)).items():
            pieces[stack] += part
        at += minutes * MINUTE_MS
    assert at == start + 10 * HOUR_MS
    assert pieces == whole


def test_another_seed_is_another_works_and_the_same_seed_is_the_same(demo: Scenario) -> None:
    start = begin_ms(demo)

    def so2(seed: int) -> Any:
        return demo.works(start, seed).columns(start, start + HOUR_MS)[0]["so2"]

    assert so2(1) == so2(1)
    assert so2(1) != so2(2)


def test_an_empty_interval_has_no_rows(demo: Scenario) -> None:
    assert demo.works(0).columns(MINUTE_MS, MINUTE_MS) == ({}, 0)


def test_the_frame_is_one_row_a_stack_and_minute_in_order_of_time(demo: Scenario) -> None:
    start = begin_ms(demo)
    frame, number = demo.works(start).columns(start, start + 2 * MINUTE_MS)
    assert number == 6
    assert frame["sampled_at"] == [start] * 3 + [start + MINUTE_MS] * 3
    assert frame["stack"] == ["DA001", "DA002", "DA003"] * 2
    assert (frame["interval_s"], frame["state"], frame["flag"]) == (60, "running", "N")
    lengths = {len(value) for value in frame.values() if isinstance(value, list)}
    assert lengths == {6}


def test_the_past_begins_with_last_month_in_the_works_own_zone(demo: Scenario) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    assert demo.begin(NOW) == datetime(2026, 10, 1, tzinfo=zone)
    assert demo.begin(datetime(2026, 12, 31, 20, tzinfo=UTC)) == datetime(2026, 12, 1, tzinfo=zone)
    assert demo.begin(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2025, 12, 1, tzinfo=zone)


def test_in_the_demo_the_breakdown_breaches_the_month_and_nothing_else_is_above_a_limit(demo: Scenario) -> None:
    pack = rule_pack("cn-steel-ule-2019")
    start = begin_ms(demo)
    by_stack = rows(*demo.works(start).columns(start, start + 31 * DAY_MS))
    above: dict[tuple[str, str], int] = {}
    for stack in demo.stacks:
        outlet = pack.outlets[stack.process]
        for pollutant, limit in outlet.limits.items():
            means = hour_means(by_stack[stack.code], pollutant, outlet.base_o2_vol_pct)
            assert len(means) == 31 * 24, "calibration must leave every hour valid"
            above[stack.code, pollutant] = sum(mean > limit.mg_m3 for _, mean in means)
    wrong = above.pop(("DA001", "so2"))
    assert set(above.values()) == {0}
    assert 55 <= wrong <= 62
    assert (744 - wrong) / 744 < 0.95


def test_a_calibration_shows_the_gas_and_says_so_a_few_minutes_a_day(demo: Scenario) -> None:
    start = begin_ms(demo)
    sinter = rows(*demo.works(start).columns(start, start + DAY_MS))["DA001"]
    flagged = [index for index, row in enumerate(sinter) if row["flag"] == "C"]
    assert flagged == list(range(200, 206))
    assert [sinter[index]["so2"] for index in flagged] == [0.0] * 3 + [128.0] * 3


def test_an_order_stops_the_unit_and_its_end_starts_it_clean_again(demo: Scenario) -> None:
    start = begin_ms(demo)
    since, until = start + 2 * HOUR_MS, start + 8 * HOUR_MS
    effects = (Effect(unit="S1", mode="stop", since_ms=since, until_ms=until),)
    by_stack = rows(*demo.works(start).columns(start, start + 14 * HOUR_MS, effects))
    sinter = by_stack["DA001"]
    states = [row["state"] for row in sinter]
    assert states[:120] == ["running"] * 120
    assert states[120 : 120 + STOPPING_MIN] == ["stopping"] * STOPPING_MIN
    assert states[120 + STOPPING_MIN : 480] == ["stopped"] * (360 - STOPPING_MIN)
    assert states[480 : 480 + STARTING_MIN] == ["starting"] * STARTING_MIN
    assert states[480 + STARTING_MIN :] == ["running"] * (6 * 60 - STARTING_MIN)
    still = [row for row in sinter if row["state"] == "stopped" and row["flag"] == "N"]
    assert {(row["so2"], row["load_pct"]) for row in still} == {(0.0, 0.0)}
    assert min(row["o2"] for row in still) >= 20.9
    assert max(row["flow"] for row in still) < 0.05 * sinter[0]["flow"]
    assert {row["state"] for row in by_stack["DA002"]} == {"running"}


def test_what_was_sent_before_an_order_is_not_changed_by_it(demo: Scenario) -> None:
    start = begin_ms(demo)
    works = demo.works(start)
    since = start + 13 * DAY_MS  # in the middle of the breakdown
    effects = (Effect(unit="S1", mode="stop", since_ms=since),)
    before = (since - DAY_MS, since)
    assert works.columns(*before) == works.columns(*before, effects)


def test_a_stop_repairs_the_breakdown(demo: Scenario) -> None:
    start = begin_ms(demo)
    works = demo.works(start)
    since = start + 13 * DAY_MS
    after = (since + 8 * HOUR_MS, since + 12 * HOUR_MS)
    effects = (Effect(unit="S1", mode="stop", since_ms=since, until_ms=since + 4 * HOUR_MS),)
    broken = hour_means(rows(*works.columns(*after))["DA001"], "so2", 16)
    repaired = hour_means(rows(*works.columns(*after, effects))["DA001"], "so2", 16)
    assert min(mean for _, mean in broken) > 35
    assert max(mean for _, mean in repaired) < 35


@pytest.mark.parametrize(
    ("mode", "value", "state", "load"),
    [
        pytest.param("max_load", 50.0, "running", 46.0, id="restricted"),
        pytest.param("hot_idle", None, "banked", 4.6, id="banked"),
        pytest.param("min_coking_time", 30.0, "running", 64.4, id="slowed"),
    ],
)
def test_other_orders_take_load_away(demo: Scenario, mode: str, value: float | None, state: str, load: float) -> None:
    start = begin_ms(demo)
    effects = (Effect(unit="S1", mode=mode, value=value, since_ms=start),)
    last = rows(*demo.works(start).columns(start, start + 3 * HOUR_MS, effects))["DA001"][-1]
    assert last["state"] == state
    assert last["load_pct"] == pytest.approx(load, rel=0.1)


def test_noise_is_centred_bounded_and_independent_of_neighbours() -> None:
    index = np.arange(200_000, dtype=np.int64)
    plain, bell, slow = (f(key("a", 1), index) for f in (uniform, white, lambda k, i: smooth(k, i, 60)))
    assert (plain.min() >= 0, plain.max() < 1) == (True, True)
    assert plain.mean() == pytest.approx(0.5, abs=0.005)
    assert (bell.mean(), bell.std()) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))
    assert abs(float(np.corrcoef(bell[1:], bell[:-1])[0, 1])) < 0.01
    assert float(np.corrcoef(slow[1:], slow[:-1])[0, 1]) > 0.99
    assert np.array_equal(bell[1234:1240], white(key("a", 1), index[1234:1240]))


def test_what_is_wrong_in_a_scenario_is_all_said_at_once() -> None:
    with pytest.raises(BadDocument) as caught:
        parse_scenario(
            'name = "x"\ntimezone = "Asia/Tangshan"\nsped = 3\n'
            '[[stack]]\ncode = "A"\nprocess = "kiln"\n[[stack]]\ncode = "A"\nprocess = "sinter_head"\n'
            '[[fault]]\nkind = "abatement_loss"\nstack = "B"\npollutant = "so2"\nday = 31\nhours = 3\nefficiency = 2\n',
            "x.toml",
        )
    said = str(caught.value)
    for part in ("timezone", "sped", "stack[0].process", "'A' stands twice", "fault[0].stack", ".day", ".efficiency"):
        assert part in said


def test_an_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(BadDocument, match="there are demo"):
        load_scenario("nightmare")
    with pytest.raises(BadDocument, match="cannot be read"):
        load_scenario("nightmare.toml")
