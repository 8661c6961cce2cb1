"""Two instruments show the same to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import CLEAR, UNDECIDED
from alerts.rules.sibling_identity import RULE
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes
from plant.minute_features import BLOCKS
from plant.readings import Values

N = 100


def blocks(history: History, *, instrument: str = "main", channel: str = "so2") -> Values:
    features = history.channels[instrument, channel]
    return np.stack([features[f"block{i}"] for i in range(BLOCKS)], axis=1)


def as_features(digests: Values) -> dict[str, Values]:
    return {f"block{i}": digests[:, i] for i in range(BLOCKS)}


def copied(places: Mapping[int, Sequence[int]], *, channel: str = "so2") -> History:
    """A stack with a neighbour whose digests are its own in *places*: blocks by hour."""
    history, other = a_history(N), blocks(a_history(N, seed=9), channel=channel)
    mine = blocks(history, channel=channel)
    for hour, which in places.items():
        other[hour, list(which)] = mine[hour, list(which)]
    return replace(history, siblings={("DA002", "main", channel): as_features(other)})


def test_neighbours_with_noise_of_their_own_are_clear() -> None:
    assert found(RULE, copied({})) == []


def test_half_an_hour_that_is_the_same_is_found() -> None:
    assert found(RULE, copied({50: (1, 2, 3)})) == [50]
    assert found(RULE, copied({50: (1, 2, 4, 5)})) == []


def test_half_an_hour_over_the_turn_of_an_hour_is_found_in_the_later_one() -> None:
    assert found(RULE, copied({50: (4, 5), 51: (0,)})) == [51]


def test_the_evidence_names_the_other() -> None:
    said = outcomes(RULE, copied({50: range(6), 51: range(6)}))[None, "so2", None]
    assert said.observed[[50, 51]].tolist() == [60.0, 120.0]
    assert said.evidence(51)["same_as"] == [{"stack": "DA002", "instrument": "main", "blocks": 6}]


def test_another_channel_of_the_neighbour_may_be_anything() -> None:
    history = copied({50: range(6)}, channel="so2")
    siblings = {("DA002", "main", "nox"): history.siblings["DA002", "main", "so2"]}
    assert found(RULE, replace(history, siblings=siblings)) == []


def test_a_second_instrument_of_the_stack_is_compared_too() -> None:
    stack = a_stack(judged_from=("main", "backup"))
    history = a_history(N, stack=stack)
    backup = {**history.channels["main", "so2"]}
    both = replace(history, channels={**history.channels, ("backup", "so2"): backup})
    said = outcomes(RULE, both)
    assert {key for key, of in said.items() if (of.level > CLEAR).any()} == {
        (None, "so2", None),
        (None, "so2", "backup"),
    }
    assert len(found(RULE, both)) == N


def test_values_without_a_digest_are_equal_to_nothing() -> None:
    history = copied({50: range(6)})
    still = as_features(np.full((N, BLOCKS), np.nan))
    both = replace(
        history,
        channels={**history.channels, ("main", "so2"): {**history.channels["main", "so2"], **still}},
        siblings={("DA002", "main", "so2"): still},
    )
    assert outcomes(RULE, both)[None, "so2", None].level.tolist() == [UNDECIDED] * N


def test_a_stack_alone_has_nothing_to_be_compared_with() -> None:
    assert {level for said in outcomes(RULE, a_history(N)).values() for level in said.level.tolist()} == {CLEAR}


def test_a_neighbour_that_falls_silent_ends_what_was_found() -> None:
    """A live history knows no neighbour that has sent nothing for a day."""
    before = copied({50: range(6)})
    after = replace(before, siblings={})
    assert outcomes(RULE, before)[None, "so2", None].level[51:].tolist() == [CLEAR] * (N - 51)
    assert outcomes(RULE, after)[None, "so2", None].level[51:].tolist() == [CLEAR] * (N - 51)


def test_an_hour_depends_on_the_one_before_and_on_no_other() -> None:
    history = copied({h: range(6) for h in (5, 6, 7, 50, 98, 99)} | {60: (4, 5), 61: (0,)})
    assert_same_in_parts(RULE, history, parts=12)
    assert outcomes(RULE, history)[None, "so2", None].level[8] == CLEAR
