"""Process values stand among the stored numbers of an hour and come out as they went in."""

from __future__ import annotations

import numpy as np

from alerts.digests import digests_of, stored
from alerts.signal_features import apart, with_signals
from hour_builders import FIRST, as_rows, samples
from plant.features import hour_features
from plant.periods import HOUR
from plant.register import Stack
from store.features import DigestRun

STACK = Stack(code="DA001", name="A stack", process="sinter_head", packs=(), interval_s=60)


def test_they_come_back_from_what_is_stored() -> None:
    features = hour_features({"main": as_rows(samples(120, so2=20.0))}, STACK, first=FIRST, n_hours=2)
    signals = {
        (unit, "load_pct", figure): np.array([value, np.nan])
        for unit, of in (("S1", 80.0), ("", 90.0))
        for figure, value in (("mean", of), ("low", of - 1), ("high", of + 1))
    }
    start = FIRST + np.arange(2, dtype=np.int64) * HOUR
    digests, layouts = digests_of(start, with_signals(features, signals), {}, range(2))
    runs = [
        DigestRun(one.layout, np.array([one.start], np.int64), one.features, one.blocks, one.verdicts)
        for one in digests
    ]
    channels, found = apart(stored(runs, layouts, first=FIRST, n_hours=2).channels)
    assert set(channels) == {("main", "so2")}
    assert set(found) == set(signals)
    for key, values in signals.items():
        np.testing.assert_array_equal(found[key], values)


def test_without_signals_nothing_is_added() -> None:
    features = hour_features({"main": as_rows(samples(60, so2=20.0))}, STACK, first=FIRST, n_hours=1)
    assert with_signals(features, {}).channels == features.channels
    channels, found = apart(features.channels)
    assert (channels, found) == (features.channels, {})
