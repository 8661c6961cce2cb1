"""A reported hour is held against ours beyond its own digits; what would have been judged otherwise is graver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alerts.rules.history import History
from alerts.rules.reported_hour_differs import RULE
from alerts.rules.rule import INFO, MAJOR, WARNING
from history_builders import ULE, Hours, a_history, assert_same_in_parts, found, judged, outcomes
from plant.readings import Values
from plant.verdicts import Reason, Verdict


def ours(history: History, figure: str = "corrected_avg") -> Values:
    hours = history.verdicts[ULE, "so2"]
    return (hours.corrected if figure == "corrected_avg" else hours.mean).copy()


def reported(
    history: History, hours: Hours = slice(None), factor: float = 1.0, *, figure: str = "corrected_avg", digits: int = 1
) -> History:
    """What a logger says: ours to its digits, times *factor* in *hours*."""
    values = ours(history, figure)
    values[hours] *= factor
    return replace(history, reported={**history.reported, ("logger", "so2", figure): np.round(values, digits)})


@pytest.mark.parametrize("digits", [0, 1, 2, 3])
@pytest.mark.parametrize("figure", ["avg", "corrected_avg"])
def test_rounding_is_no_difference(digits: int, figure: str) -> None:
    assert found(RULE, reported(a_history(), figure=figure, digits=digits)) == []


def test_two_per_cent_are_an_order_of_averaging() -> None:
    assert found(RULE, reported(a_history(), slice(300, 400), 0.98)) == []


def test_a_tenth_that_recurs_is_found_from_the_third_hour_on() -> None:
    history = reported(a_history(), slice(300, 320), 0.9)
    assert found(RULE, history) == list(range(302, 320))
    (said,) = outcomes(RULE, history).values()
    assert said.pollutant == "so2"
    assert said.level[305] == INFO
    assert said.evidence(305)["reported"] < said.evidence(305)["ours"]


def test_a_third_is_graver() -> None:
    (said,) = outcomes(RULE, reported(a_history(), slice(300, 320), 0.67)).values()
    assert said.level[305] == WARNING


def test_one_hour_is_a_late_row() -> None:
    assert found(RULE, reported(a_history(), [300, 330, 360], 0.8)) == []


def breached(history: History, place: int = 300) -> History:
    """Ours is above the limit by a little."""
    limit = history.verdicts[ULE, "so2"].limit[place]
    return judged(history, "so2", [place], corrected=limit + 2.0, verdict=Verdict.BREACHED, reason=Reason.ABOVE)


def test_one_hour_that_would_be_within_is_enough() -> None:
    history = breached(a_history())
    limit = history.verdicts[ULE, "so2"].limit[300]
    values = ours(history)
    values[300] = limit - 0.5
    history = replace(history, reported={("platform", "so2", "corrected_avg"): np.round(values, 1)})
    assert found(RULE, history) == [300]
    (said,) = outcomes(RULE, history).values()
    assert said.level[300] == MAJOR
    evidence = said.evidence(300)
    assert evidence["would_be_within"] is True
    assert evidence["source"] == "platform"


def test_an_hour_above_that_both_call_so_is_clear() -> None:
    assert found(RULE, reported(breached(a_history()))) == []


def test_hours_that_are_not_valid_here_are_not_compared() -> None:
    history = judged(a_history(), "so2", slice(300, 320), verdict=Verdict.UNDECIDED, reason=Reason.TOO_FEW_MINUTES)
    assert found(RULE, reported(history, slice(300, 320), 0.5)) == []


def test_the_cause_is_named_where_the_hours_show_it() -> None:
    history = a_history()
    uncorrected = np.round(ours(history, "avg"), 1)
    history = replace(history, reported={("logger", "so2", "corrected_avg"): uncorrected})
    (said,) = outcomes(RULE, history).values()
    places = [place for place in found(RULE, history) if abs(uncorrected[place] - ours(history)[place]) > 0.2]
    assert "correction" in said.evidence(places[5])["looks_like"]


def test_a_clock_that_is_an_hour_late_is_named() -> None:
    history = a_history()
    late = np.concatenate([[np.nan], np.round(ours(history), 3)[:-1]])
    history = replace(history, reported={("logger", "so2", "corrected_avg"): late})
    (said,) = outcomes(RULE, history).values()
    assert said.evidence(found(RULE, history)[0])["looks_like"] == ["clock"]


OTHER = "cn-gb28662-special"


def two_packs() -> History:
    """The other pack has the oxygen of another outlet, so its hours are corrected otherwise."""
    history = a_history()
    hours = history.verdicts[ULE, "so2"]
    other = replace(hours, corrected=hours.corrected * 1.3, limit=hours.limit * 5)
    return replace(history, verdicts={**history.verdicts, (OTHER, "so2"): other})


def test_who_agrees_with_one_pack_agrees() -> None:
    history = two_packs()
    assert found(RULE, reported(history)) == []
    theirs = np.round(history.verdicts[OTHER, "so2"].corrected, 1)
    assert found(RULE, replace(history, reported={("logger", "so2", "corrected_avg"): theirs})) == []
    neither = np.round(ours(history) * 0.8, 1)
    assert found(RULE, replace(history, reported={("logger", "so2", "corrected_avg"): neither}))


def test_the_pack_that_would_be_judged_otherwise_is_quoted() -> None:
    history = two_packs()
    limit = history.verdicts[OTHER, "so2"].limit[300]
    history = judged(history, "so2", [300], under=OTHER, corrected=limit + 9, verdict=Verdict.BREACHED)
    values = np.full(history.n_hours, np.nan)
    values[300] = limit - 9
    (said,) = outcomes(RULE, replace(history, reported={("logger", "so2", "corrected_avg"): values})).values()
    assert said.level[300] == MAJOR
    assert said.evidence(300)["pack"] == OTHER


def test_what_is_reported_of_other_channels_is_left_alone() -> None:
    history = a_history()
    said = outcomes(RULE, replace(history, reported={("logger", "flow", "avg"): np.full(history.n_hours, 1.0)}))
    assert said == {}


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, reported(a_history(), slice(100, 300), 0.85))


def test_where_nothing_is_corrected_the_measured_mean_would_be_judged_otherwise() -> None:
    history = judged(a_history(), "so2", 300, verdict=Verdict.BREACHED, reason=Reason.ABOVE, corrected=36.0, mean=36.0)
    history = reported(history, 300, 34.0 / 36.0, figure="avg")
    (said,) = outcomes(RULE, history).values()
    assert said.level[300] == MAJOR
    assert said.evidence(300)["would_be_within"]
    elsewhere = reported(judged(history, "so2", 300, corrected=37.0), 300, 34.0 / 36.0, figure="avg")
    assert found(RULE, elsewhere) == [], "there the corrected one is judged, of which nothing is reported"
