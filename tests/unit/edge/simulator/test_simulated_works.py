from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge.simulator.activity import MINUTE_MS, STARTING_MIN, STOPPING_MIN, Effect
from edge.simulator.catalogue import CATALOGUE
from edge.simulator.faults import HOUR_MS
from edge.simulator.loggers import columns, cut, each_row, joined, rows_of
from edge.simulator.noise import smooth, streams, uniform, white
from edge.simulator.works import State, Works
from fakes.imagined import BEGIN_MS, DAY_MS, Rows, a_fault, a_stack, a_works, by_stack


def everything_wrong(works: Works) -> Works:
    faults = tuple(
        a_fault(kind, "sinter_strand", after_h=2, hours=3, channel=next(iter(what.channels), ""))
        for kind, what in CATALOGUE.items()
        if not what.whole_works
    )
    return a_works(*works.stacks, faults=faults)


def in_pieces(works: Works, minutes: tuple[int, ...], effects: tuple[Effect, ...]) -> list[dict[str, Any]]:
    """The rows made piece by piece, as a works that is killed after each of them would make them."""
    rows: list[dict[str, Any]] = []
    state = works.begin
    for piece in minutes:
        until_ms = state.at_ms + piece * MINUTE_MS
        for block, after in works.blocks(state, until_ms, effects):
            rows += each_row(*rows_of(works, block, works.faults))
            state = after
        state = State.of(json.loads(json.dumps(state.document())), len(works.stacks))
    return rows


@pytest.mark.parametrize("broken", [False, True])
def test_any_chunking_gives_the_same_bits(broken: bool) -> None:
    works = everything_wrong(a_works()) if broken else a_works()
    effects = (
        Effect(unit="U-coke_battery", mode="hot_idle", since_ms=BEGIN_MS + HOUR_MS, until_ms=BEGIN_MS + 4 * HOUR_MS),
    )
    whole = each_row(*columns(works, BEGIN_MS, BEGIN_MS + 10 * HOUR_MS, effects))
    assert in_pieces(works, (1, 7, 59, 1, 132, 400), effects) == whole


def test_a_stack_is_the_same_whoever_its_neighbours_are() -> None:
    works = everything_wrong(a_works())
    together = by_stack(*columns(works, BEGIN_MS, BEGIN_MS + 6 * HOUR_MS))
    for code in ("sinter_strand", "dust_collector"):
        alone = by_stack(*columns(works.only([code]), BEGIN_MS, BEGIN_MS + 6 * HOUR_MS))
        assert alone == {code: together[code]}


def test_another_seed_is_another_works_and_the_same_seed_is_the_same() -> None:
    def so2(seed: int) -> Any:
        return columns(a_works(seed=seed), BEGIN_MS, BEGIN_MS + HOUR_MS)[0]["so2"]

    assert so2(1) == so2(1)
    assert so2(1) != so2(2)


def test_an_empty_interval_has_no_rows() -> None:
    assert columns(a_works(), BEGIN_MS, BEGIN_MS) == ({}, 0)


def test_the_frame_is_one_row_a_stack_and_minute_in_order_of_time() -> None:
    works = a_works(a_stack("sinter_strand", "A"), a_stack("dust_collector", "B"))
    frame, number = columns(works, BEGIN_MS, BEGIN_MS + 2 * MINUTE_MS)
    assert number == 4
    assert frame["sampled_at"] == [BEGIN_MS] * 2 + [BEGIN_MS + MINUTE_MS] * 2
    assert frame["stack"] == ["A", "B"] * 2
    assert (frame["interval_s"], frame["state"], frame["flag"]) == (60, "running", "N")
    assert {len(value) for value in frame.values() if isinstance(value, list)} == {4}
    assert [value is None for value in frame["so2"]] == [False, True] * 2  # a dust collector measures dust


def test_a_row_every_ten_seconds_is_six_times_as_many() -> None:
    works = a_works(a_stack("sinter_strand"), step_s=10)
    frame, number = columns(works, BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert (number, frame["interval_s"]) == (360, 10)
    assert float(np.mean(frame["o2"])) == pytest.approx(15.8, rel=0.05)


def test_an_order_stops_the_unit_and_its_end_starts_it_again() -> None:
    since, until = BEGIN_MS + 2 * HOUR_MS, BEGIN_MS + 8 * HOUR_MS
    effects = (Effect(unit="U-sinter_strand", mode="stop", since_ms=since, until_ms=until),)
    rows = by_stack(*columns(a_works(), BEGIN_MS, BEGIN_MS + 14 * HOUR_MS, effects))
    states = [row["state"] for row in rows["sinter_strand"]]
    assert states[:120] == ["running"] * 120
    assert states[120 : 120 + STOPPING_MIN] == ["stopping"] * STOPPING_MIN
    assert states[120 + STOPPING_MIN : 480] == ["stopped"] * (360 - STOPPING_MIN)
    assert states[480 : 480 + STARTING_MIN] == ["starting"] * STARTING_MIN
    assert states[480 + STARTING_MIN :] == ["running"] * (6 * 60 - STARTING_MIN)
    assert {row["state"] for row in rows["coke_battery"]} == {"running"}


def test_what_was_sent_before_an_order_is_not_changed_by_it() -> None:
    works = a_works(faults=(a_fault("reagent_out", "sinter_strand", after_h=1),))
    since = BEGIN_MS + 13 * HOUR_MS
    effects = (Effect(unit="U-sinter_strand", mode="stop", since_ms=since),)
    assert columns(works, BEGIN_MS, since) == columns(works, BEGIN_MS, since, effects)


def test_a_stop_repairs_what_is_broken_in_the_gas_path() -> None:
    works = a_works(faults=(a_fault("scr_trip", "sinter_strand", after_h=1, hours=100),))
    since = BEGIN_MS + 10 * HOUR_MS
    effects = (Effect(unit="U-sinter_strand", mode="stop", since_ms=since, until_ms=since + 4 * HOUR_MS),)
    after = (since + 8 * HOUR_MS, since + 12 * HOUR_MS)

    def nox(rows: Rows) -> float:
        return float(np.mean([row["nox"] for row in rows["sinter_strand"] if row["flag"] == "N"]))

    assert nox(by_stack(*columns(works, *after))) > 200
    assert nox(by_stack(*columns(works, *after, effects))) < 50


@pytest.mark.parametrize(
    ("mode", "value", "state", "load"),
    [
        pytest.param("max_load", 50.0, "running", 46.0, id="restricted"),
        pytest.param("hot_idle", None, "banked", 4.6, id="banked"),
        pytest.param("min_coking_time", 30.0, "running", 64.4, id="slowed"),
    ],
)
def test_other_orders_take_load_away(mode: str, value: float | None, state: str, load: float) -> None:
    effects = (Effect(unit="U-sinter_strand", mode=mode, value=value, since_ms=BEGIN_MS),)
    rows = by_stack(*columns(a_works(), BEGIN_MS, BEGIN_MS + 3 * HOUR_MS, effects))
    last = rows["sinter_strand"][-1]
    assert last["state"] == state
    assert last["load_pct"] == pytest.approx(load, rel=0.1)


def test_frames_that_are_cut_and_joined_again_are_the_same() -> None:
    works = everything_wrong(a_works())
    frame, number = columns(works, BEGIN_MS, BEGIN_MS + 6 * HOUR_MS)
    again: dict[str, Any] = {}
    count = 0
    for piece, rows in cut(frame, number, 200):
        assert all(len(value) == rows for value in piece.values() if isinstance(value, list))
        again = joined(again, count, piece, rows)
        count += rows
    assert each_row(again, count) == each_row(frame, number)


def test_rows_that_carry_the_end_of_their_interval_are_stamped_so() -> None:
    start, end = (
        columns(a_works(a_stack("gas_turbine", stamped_at_end=ended)), BEGIN_MS, BEGIN_MS + DAY_MS)[0]["sampled_at"]
        for ended in (False, True)
    )
    assert [at + MINUTE_MS for at in start] == end


def test_noise_is_centred_bounded_and_independent_of_neighbours() -> None:
    index = np.arange(200_000, dtype=np.int64)
    one, two = streams(1, ("a",), "x"), streams(1, ("b", "a"), "x")
    plain, bell, slow = uniform(one, index)[:, 0], white(one, index)[:, 0], smooth(one, index, 60)[:, 0]
    assert (plain.min() >= 0, plain.max() < 1) == (True, True)
    assert plain.mean() == pytest.approx(0.5, abs=0.005)
    assert (bell.mean(), bell.std()) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))
    assert np.abs(bell).max() < 3.47
    assert abs(float(np.corrcoef(bell[1:], bell[:-1])[0, 1])) < 0.01
    assert float(np.corrcoef(slow[1:], slow[:-1])[0, 1]) > 0.99
    assert np.array_equal(bell[1234:1240], white(two, index[1234:1240])[:, 1])
