"""A history as stored numbers: what comes back is what was judged, however the hours were judged."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.digests import Names, digests_of, stored, stored_blocks, told
from alerts.hours import JudgedHours, judge_rows
from alerts.rules.history import VerdictHours
from alerts.subject import Subject
from digest_builders import runs
from hour_builders import FIRST, LONG_AFTER, ULE, Sample, a_stack, as_rows, samples
from plant.periods import HOUR
from plant.readings import Values
from plant.register import Site
from store.features import HourDigest

SPECIAL = "cn-gb28662-special"
FIGURES = [name for name in VerdictHours.__slots__ if name not in ("verdict", "reason")]


def a_subject(*packs: str) -> Subject:
    stack = a_stack(judged_from=("main", "backup"))
    site = Site(code="works", name="A works", region="hebei", timezone="Asia/Shanghai", stacks=(stack,))
    return Subject(site_id=1, stack_id=1, site=site, stack=stack, packs=Subject.packs_of(packs or (ULE, SPECIAL)))


def some_rows(seed: int, n_hours: int) -> dict[str, list[Sample]]:
    """Hours with and without rows, with other channels, flags and a second instrument."""
    rng = random.Random(seed)
    main, backup = [], []
    for hour in range(n_hours):
        if rng.random() < 0.2:
            continue
        channels: dict[str, Any] = {
            "so2": rng.gauss(30, 8),
            "nox": rng.gauss(40, 9),
            "pm": 5.0,
            "o2": rng.gauss(16, 0.5),
        }
        if rng.random() < 0.3:
            channels["flow"] = 4e5
        if rng.random() < 0.2:
            del channels["nox"]
        flag = rng.choice("NNNNTC")
        main += samples(60, start=hour * 3600, flag=flag, **channels)
        if rng.random() < 0.3:
            backup += samples(6, start=hour * 3600, step=600, so2=rng.gauss(30, 8), o2=16.0)
    return {name: rows for name, rows in (("main", main), ("backup", backup)) if rows}


def judged(rows: Mapping[str, list[Sample]], *, first: int = 0, n_hours: int, now: int = LONG_AFTER) -> JudgedHours:
    of = {name: as_rows(listed) for name, listed in rows.items()}
    return judge_rows(a_subject(), of, first=FIRST + first * HOUR, n_hours=n_hours, now=now)


def digested(hours: JudgedHours) -> tuple[dict[int, HourDigest], dict[int, Names]]:
    digests, layouts = digests_of(hours.start, hours.features, hours.verdicts(), range(hours.start.size))
    return {digest.start: digest for digest in digests}, layouts


def same(left: Values, right: Values) -> bool:
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), now=st.integers(0, 12))
def test_what_was_judged_comes_back(seed: int, now: int) -> None:
    n_hours = 10
    hours = judged(some_rows(seed, n_hours), n_hours=n_hours, now=FIRST + now * HOUR)
    digests, layouts = digested(hours)
    back = stored(runs(digests.values()), layouts, first=FIRST, n_hours=n_hours)
    for name, values in hours.features.outlet.items():
        assert same(np.asarray(values, dtype=np.float64), back.outlet[name]), name
    for channel, features in hours.features.channels.items():
        for name, values in features.items():
            nothing = np.full(n_hours, np.nan)
            assert same(values, back.channels.get(channel, {}).get(name, nothing)), (channel, name)
    assert back.verdicts.keys() == hours.verdicts().keys()
    for key, series in hours.verdicts().items():
        assert list(series.verdict) == list(back.verdicts[key].verdict)
        assert list(series.reason) == list(back.verdicts[key].reason)
        for name in FIGURES:
            assert same(getattr(series, name), getattr(back.verdicts[key], name)), (key, name)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 9))
def test_hours_judged_in_parts_are_stored_alike(seed: int, cut: int) -> None:
    rows = some_rows(seed, 10)
    whole, _ = digested(judged(rows, n_hours=10))
    parts = {
        **digested(judged(rows, n_hours=cut))[0],
        **digested(judged(rows, first=cut, n_hours=10 - cut))[0],
    }
    assert parts == whole


def test_an_hour_without_numbers_is_as_one_without_rows() -> None:
    hours = judged({"main": samples(60, so2=20.0, o2=16.0)}, n_hours=1)
    digests, layouts = digested(hours)
    back = stored(runs(digests.values()), layouts, first=FIRST - HOUR, n_hours=2)
    empty = judged({}, n_hours=1).features.outlet
    assert {name: values[0] for name, values in back.outlet.items()} == {n: v[0] for n, v in empty.items()}
    assert back.verdicts[ULE, "so2"].verdict[0] is None
    assert back.outlet["rows"].tolist() == [0.0, 60.0]


def test_hours_before_the_values_bring_their_verdicts_alone() -> None:
    digests, layouts = digested(judged({"main": samples(120, so2=20.0, o2=16.0)}, n_hours=2))
    older, newer = digests[FIRST], digests[FIRST + HOUR]
    older = HourDigest(older.start, older.layout, b"", b"", older.verdicts)
    back = stored(runs([older, newer]), layouts, first=FIRST, n_hours=2)
    assert [str(verdict) for verdict in back.verdicts[ULE, "so2"].verdict] == ["clear", "clear"]
    assert np.isnan(back.channels["main", "so2"]["mean"][0])
    assert back.channels["main", "so2"]["mean"][1] == 20.0


def test_blocks_alone_tell_two_stacks_that_show_the_same() -> None:
    rng = random.Random(4)
    shown = [rng.gauss(20, 2) for _ in range(60)]
    one, other = (
        digested(judged({"main": [Sample(60 * i, {"so2": v, "o2": 16.0}) for i, v in enumerate(values)]}, n_hours=1))
        for values in (shown, [*shown[:30], *(v + 1 for v in shown[30:])])
    )
    blocks = [
        stored_blocks(runs(digests.values()), layouts, first=FIRST, n_hours=1)["main", "so2"]
        for digests, layouts in (one, other)
    ]
    assert [bool(blocks[0][f"block{i}"] == blocks[1][f"block{i}"]) for i in range(6)] == [True] * 3 + [False] * 3


def test_an_hour_that_lost_its_channel_has_another_layout() -> None:
    with_nox, _ = digested(judged({"main": samples(60, so2=20.0, nox=30.0, o2=16.0)}, n_hours=1))
    without, _ = digested(judged({"main": samples(60, so2=20.0, o2=16.0)}, n_hours=1))
    assert with_nox[FIRST].layout != without[FIRST].layout


@pytest.mark.parametrize("n_hours", [1, 400])
def test_layouts_are_few(n_hours: int) -> None:
    digests, layouts = digested(judged({"main": samples(60 * n_hours, so2=20.0, o2=16.0)}, n_hours=n_hours))
    assert (len(digests), len(layouts)) == (n_hours, 1)


def test_an_hour_into_which_a_row_reaches_is_known() -> None:
    hours = judged({"main": [Sample(1800, {"so2": 20.0, "o2": 16.0}, 3600)]}, n_hours=3)
    assert told(hours.features).tolist() == [True, True, False]
    digests, layouts = digested(hours)
    back = stored(runs(digests.values()), layouts, first=FIRST, n_hours=3)
    assert back.outlet["covered_s"].tolist() == [1800.0, 1800.0, 0.0]
    assert back.outlet["rows"].tolist() == [1.0, 0.0, 0.0]
