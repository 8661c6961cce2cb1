"""Two values for one row."""

from __future__ import annotations

import numpy as np

from alerts.rules.conflicts import RULE
from alerts.rules.history import History
from alerts.rules.rule import CLEAR
from history_builders import a_history, assert_same_in_parts, found, outcomes


def with_conflicts(**rows: dict[int, int]) -> History:
    def counts(of: dict[int, int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        out = np.zeros(100, dtype=np.int64)
        out[list(of)] = list(of.values())
        return out

    return a_history(100, conflicts={channel: counts(of) for channel, of in rows.items()})


def test_an_hour_with_rows_of_two_values_is_found_once_for_the_stack() -> None:
    history = with_conflicts(so2={40: 3, 41: 60}, nox={41: 59})
    (said,) = RULE.judge(history)
    assert found(RULE, history) == [40, 41]
    assert said.observed[41] == 60
    assert said.evidence(41) == {"rows": 60, "by_channel": {"so2": 60, "nox": 59}}


def test_without_conflicts_every_hour_is_clear_so_that_an_alert_can_end() -> None:
    ((_, said),) = outcomes(RULE, a_history(100)).items()
    assert (said.level == CLEAR).all()


def test_an_hour_is_judged_alone() -> None:
    assert_same_in_parts(RULE, with_conflicts(so2={5: 1, 50: 2, 99: 3}))
