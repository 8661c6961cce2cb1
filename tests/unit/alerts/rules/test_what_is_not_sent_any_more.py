"""What was sent months ago says nothing of today: a live history does not reach back to it, a backtest has it all.

Every rule on every history of this file: cut as a live stage loads it, its hours have the outcomes of the whole.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.rules.rule import LONGEST_REACH_H, UNDECIDED, Levels, Rule
from history_builders import LEVELS, a_history, a_stack, outcomes, part, shown
from plant.calibration import Cems
from plant.features import names_of
from plant.minute_features import BLOCKS
from plant.readings import Values
from plant.register import Channel

N = 60 * 24
EARLIER, LATER = slice(0, N // 2), slice(N // 2, None)
PROCESS = ("flow", "temperature", "load_pct", "power_production_kw")
FIGURES = ("mean", "low", "high")


def silent(history: History, hours: slice, names: Collection[str], instrument: str = "main") -> History:
    for name in names:
        nothing = dict.fromkeys(names_of(name), np.nan)
        history = shown(history, name, hours, instrument=instrument, **nothing)
    return history


def quiet() -> History:
    checked = {name: Channel(cems=Cems.EXTRACTIVE_AUTOMATIC) for name in ("so2", "nox", "o2")}
    return a_history(N, stack=a_stack(channels=checked))


def relieved() -> History:
    """A backup takes over for good."""
    stack = replace(quiet().stack, judged_from=("main", "backup"))
    history, backup = a_history(N, stack=stack), a_history(N, seed=2, instrument="backup")
    both = replace(history, channels={**history.channels, **backup.channels})
    return silent(silent(both, LATER, LEVELS), EARLIER, LEVELS, "backup")


def signalled(history: History, hours: slice) -> History:
    """Its production comes as a signal of its unit in *hours*, and else as a channel."""
    name = "power_production_kw"
    signals = {}
    for figure in FIGURES:
        signals["S1", name, figure] = np.full(N, np.nan)
        signals["S1", name, figure][hours] = history.value("main", name, figure)[hours]
    return replace(silent(history, hours, [name]), signals=signals)


def mirrored() -> History:
    history = quiet()
    blocks = {f"block{i}": history.value("main", "so2", f"block{i}").copy() for i in range(BLOCKS)}
    for values in blocks.values():
        values[LATER] = np.nan
    return replace(history, siblings={("DA002", "main", "so2"): blocks})


HISTORIES = {
    "nothing_changed": quiet(),
    "no_process_any_more": silent(quiet(), LATER, PROCESS),
    "no_load_any_more": silent(quiet(), LATER, ["load_pct"]),
    "no_oxygen_any_more": silent(quiet(), LATER, ["o2"]),
    "one_pollutant_left": silent(quiet(), LATER, ["so2", "nox"]),
    "nothing_any_more": silent(quiet(), LATER, LEVELS),
    "another_instrument": relieved(),
    "signals_and_then_a_channel": signalled(quiet(), EARLIER),
    "a_channel_and_then_signals": signalled(quiet(), LATER),
    "a_neighbour_that_fell_silent": mirrored(),
}


def loaded(history: History, first: int) -> History:
    """The hours from *first* on as a live stage has them: nothing that is not in them."""
    cut = part(history, first, history.n_hours)

    def seen(values: Values) -> bool:
        return not bool(np.isnan(values).all())

    return replace(
        cut,
        channels={key: of for key, of in cut.channels.items() if any(seen(values) for values in of.values())},
        siblings={key: of for key, of in cut.siblings.items() if any(seen(values) for values in of.values())},
        signals={key: values for key, values in cut.signals.items() if seen(values)},
    )


def levels_by_series(rule: Rule, history: History) -> dict[object, Levels]:
    return {key: said.level for key, said in outcomes(rule, history).items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("name", HISTORIES)
def test_an_hour_is_the_same_with_and_without_what_came_long_before(name: str, rule: Rule) -> None:
    history, reach_h = HISTORIES[name], max(rule.reach_h, LONGEST_REACH_H)
    whole = levels_by_series(rule, history)
    for first in (0, 300, N // 2 - 100, N - reach_h - 5):
        cut = levels_by_series(rule, loaded(history, first))
        hours = slice(first + reach_h, None)
        silence = np.full(N - first, UNDECIDED, dtype=np.int8)
        for key in whole.keys() | cut.keys():
            expected = whole[key][hours] if key in whole else silence[reach_h:]
            np.testing.assert_array_equal(cut.get(key, silence)[reach_h:], expected, f"{key} from {first}")
