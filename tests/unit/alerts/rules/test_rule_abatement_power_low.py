"""Abatement is held against its own history at like load; that it follows the load is no finding."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.review import review
from alerts.rules.abatement_power_low import LOAD_STEP, RULE
from alerts.rules.history import History
from alerts.rules.rule import UNDECIDED
from history_builders import LEVELS, a_history, assert_same_in_parts, found, outcomes, scaled, shown

ABATEMENT, LOAD = "power_abatement_kw", "load_pct"


def following(n_hours: int = 480, *, power: float = 3.0, seed: int = 4) -> History:
    """A plant whose load follows the day from 55 to 95 %, and fans that follow it by a *power*."""
    history = a_history(n_hours, seed=seed)
    rng = np.random.default_rng(seed)
    load = 75 + 20 * np.sin(np.arange(n_hours) * 2 * np.pi / 24) + rng.normal(0, 1.0, n_hours)
    kw = 5200 * (0.2 + 0.8 * (load / 95) ** power) * (1 + rng.normal(0, 0.01, n_hours))
    history = shown(history, LOAD, slice(None), mean=load)
    return shown(history, ABATEMENT, slice(None), mean=kw)


def steady() -> History:
    """A plant at one load."""
    return shown(a_history(), LOAD, slice(None), mean=92.0)


@pytest.mark.parametrize("power", [1.0, 3.0], ids=["pumps", "fans"])
def test_power_that_follows_the_load_is_clear(power: float) -> None:
    assert found(RULE, following(power=power)) == []


def test_power_that_is_turned_down_is_found() -> None:
    history = scaled(following(), ABATEMENT, slice(400, 408), 0.7)
    places = found(RULE, history)
    assert len(places) >= 6
    assert set(places) <= set(range(400, 408))
    (said,) = outcomes(RULE, history).values()
    evidence = said.evidence(places[0])
    assert evidence["abatement_kw"] < evidence["least_usual_kw_at_like_load"] < evidence["usual_kw_at_like_load"]
    assert evidence["load_channel"] == LOAD


def test_a_tenth_less_may_be_new_bags() -> None:
    assert found(RULE, scaled(following(), ABATEMENT, slice(400, 420), 0.9)) == []


def test_it_takes_three_hours_to_speak_of_it() -> None:
    def opened(hours: int) -> int:
        history = scaled(steady(), ABATEMENT, slice(400, 400 + hours), 0.6)
        return len(review(history, rules=(RULE,)).episodes)

    assert [opened(2), opened(3)] == [0, 1]


def test_the_hours_that_are_looked_for_do_not_hide_themselves() -> None:
    """Three days of little power lie in the history of the fourth, as more than a twentieth of it."""
    history = scaled(steady(), ABATEMENT, slice(360, 480), 0.6)
    assert set(range(432, 480)) <= set(found(RULE, history))


def test_what_is_off_is_not_low() -> None:
    (said,) = outcomes(RULE, scaled(steady(), ABATEMENT, slice(400, 410), 0.01)).values()
    assert (said.level[400:410] == UNDECIDED).all()


def test_a_load_that_was_never_seen_decides_nothing() -> None:
    history = shown(a_history(), LOAD, slice(400, 410), mean=60.0)
    history = scaled(history, ABATEMENT, slice(400, 410), 0.5)
    (said,) = outcomes(RULE, history).values()
    assert (said.level[400:410] == UNDECIDED).all()


def test_an_idling_plant_decides_nothing() -> None:
    history = scaled(scaled(a_history(), LOAD, slice(400, 410), 0.1), ABATEMENT, slice(400, 410), 0.1)
    (said,) = outcomes(RULE, history).values()
    assert (said.level[400:410] == UNDECIDED).all()


def test_nothing_is_said_of_a_stack_without_abatement() -> None:
    history = shown(a_history(), ABATEMENT, slice(None), mean=0.0, low=0.0, high=0.0)
    assert outcomes(RULE, history) == {}
    assert outcomes(RULE, a_history(levels={"flow": LEVELS["flow"]})) == {}


def test_what_is_usual_is_the_middle_of_like_hours_by_hand() -> None:
    history = following(seed=9)
    history = scaled(history, ABATEMENT, [438], 0.7)
    (said,) = outcomes(RULE, history).values()
    place = 438  # where the load turns, and many hours are alike
    load, power = history.channels["main", LOAD]["mean"], history.channels["main", ABATEMENT]["mean"]
    day = history.start // (24 * 3_600_000_000)
    step = np.floor(np.log(load) / np.log(1 + LOAD_STEP))
    like = power[(day < day[place]) & (day >= day[place] - 13) & (step == step[place])]
    assert like.size >= 12
    middle = np.sort(like)[(like.size - 1) // 2]
    assert said.evidence(place)["usual_kw_at_like_load"] == middle


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, scaled(following(40 * 24), ABATEMENT, slice(600, 700), 0.7))
