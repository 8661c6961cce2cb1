"""Value that does not move though its source runs.

What it says    a channel showed one and the same value for four hours or more while the source ran, or went no higher
                than one value for four hours and lay at it for half of the time.
Why it matters  gas moves. A value that does not is held: a frozen display, a simulated signal, a range cut off below
                what there is.
Not for         sources that stand or breathe air; values flagged as over range (`out_of_range`) or below zero
                (`negative`); analysers that are too coarse to move: of ordinary hours, three in four must, with the
                hour before, move over four steps of their resolution or more.
Source          same value for hours, one non-official recipe says 4 h (regulation sheet, 8.3, V-S S38); default 4 h
                while the source runs, resolution aware [D].

Whether an analyser is too coarse is learned from the hours of twelve days in which its value moved at all. So a value
that is frozen for all of that time is undecided and not clear, and its alert goes on.

What else explains it    a logger that repeats the last value while the link to the analyser is down; a source on its
                hot bank that nobody marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.usual import other_than_first, reach_of, running, usual, without_fire
from plant.features import HEAVY
from plant.periods import SECOND
from plant.readings import Truths, Values

LEAST_S: Final = 4 * 3600.0
TOP_SHARE: Final = 0.5  #: of an hour at its highest value; gas peaks and is there for a moment [D]
LONGEST_S: Final = 24 * 3600.0  #: that a run is followed back
STEPS: Final = 4.0
"""Of its resolution that a value moves over in two hours. One that does moves by a step every half hour at the least,
and the chance that it stays where it is for four hours is none."""
QUIETEST: Final = 0.25  #: of a day's hours may move less
LEARNED_DAYS: Final = 12
OVER_RANGE_SHARE: Final = 0.5  #: of an hour: then its value stands at the range's end, and another rule says so

MEASURED: Final = HEAVY | {"temperature", "moisture", "pressure", "velocity", "flow"}
"""What has an analyser; a load and a power may be held."""


def judge(history: History) -> Iterator[Outcomes]:
    runs = running(history)
    burns = runs & ~without_fire(history)
    for instrument, channel in history.channels:
        if channel in MEASURED:
            # Oxygen that is frozen at that of air would say itself that nothing burns.
            yield _outcomes(history, instrument, channel, runs if channel == "o2" else burns)


def _outcomes(history: History, instrument: str, channel: str, runs: Truths) -> Outcomes:
    def of(name: str) -> Values:
        return history.value(instrument, channel, name)

    seen, high, low = of("seen_s"), of("high"), of("low")
    counts = runs & (seen > 0)
    if channel in HEAVY:
        counts &= ~(of("t_s") > OVER_RANGE_SHARE * seen) & ~(high < 0)
    still = of("still_s")
    if (counts & (still == seen)).any():  # else no run is as long as two hours
        still = _unchanged(counts, seen, of("first"), of("last"), still, of("lead_s"), of("tail_s"))
    capped = _capped(counts, seen, high, of("top_s") - of("t_s")) if channel in HEAVY else np.zeros_like(counts)
    still = np.where(capped, np.fmax(still, LEAST_S), still)
    found = counts & (still >= LEAST_S)
    moves = seen  # where nothing is held there is nothing to learn
    if found.any():
        moves = _usual_steps(history, high, low, of("first"), of("last"), of("grain"))
    able = moves >= STEPS

    def evidence(at: int) -> Mapping[str, Any]:
        return {
            "instrument": instrument,
            "value": float(of("last")[at]),
            "unchanged_s": float(still[at]),
            "cut_off": bool(capped[at]),
            "steps_in_two_hours": float(moves[at]),
        }

    return Outcomes(
        level=levels(found, counts & (able | ~found)),
        observed=still / 3600,
        limit=np.full(history.n_hours, LEAST_S / 3600),
        evidence=evidence,
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _capped(counts: Truths, seen: Values, high: Values, top_s: Values) -> Truths:
    """Hours that end four or more in which the value lay at one and the same highest value for half of the time."""
    lies = counts & (top_s >= TOP_SHARE * seen)
    out = lies.copy()
    for back in range(1, int(LEAST_S // 3600)):
        out[back:] &= lies[:-back] & (high[back:] == high[:-back])
        out[:back] = False
    return out


def _usual_steps(history: History, high: Values, low: Values, first: Values, last: Values, grain: Values) -> Values:
    """How many steps of its resolution a value moves over in two hours that follow one another, in the quieter ones.

    Two, so that a stack that sends a row an hour has some. The resolution is the smallest difference of a day.
    """
    if history.n_hours < 2:
        return np.full(history.n_hours, np.nan)
    extent, apart = np.full(history.n_hours, np.nan), np.full(history.n_hours, np.nan)
    extent[1:] = np.maximum(high[1:], high[:-1]) - np.minimum(low[1:], low[:-1])
    apart[1:] = np.abs(first[1:] - last[:-1])
    extent[extent == 0] = np.nan
    apart[apart == 0] = np.nan
    moved = usual(history, extent, days=LEARNED_DAYS, share=QUIETEST)
    with np.errstate(over="ignore"):  # the dust of a double as a resolution: more steps than can be counted
        return moved / usual(history, np.fmin(grain, apart), days=LEARNED_DAYS, share=0.0)


def _unchanged(
    counts: Truths, seen: Values, first: Values, last: Values, still: Values, lead: Values, tail: Values
) -> Values:
    """Seconds of the longest run that reaches into each hour, followed back over hours that count, to LONGEST_S."""
    n = counts.size
    joins = np.zeros(n, dtype=bool)
    joins[1:] = counts[1:] & counts[:-1] & (first[1:] == last[:-1])
    carries = joins & (still == seen)  # the hour is a link of a chain, all of one value
    since = np.maximum.accumulate(np.where(carries, 0, np.arange(n)))
    # In whole microseconds: their sum is the same wherever a history begins.
    held = np.cumsum(np.where(carries, np.rint(seen * SECOND), 0.0))
    until_end = np.where(counts, tail, 0.0)[since] + (held - held[since]) / SECOND
    before = np.where(joins, np.concatenate([[0.0], until_end[:-1]]) if n else 0.0, 0.0)
    return np.where(counts, np.minimum(np.fmax(still, lead + before), LONGEST_S), np.nan)


RULE: Final = Rule(
    name="constant",
    judge=judge,
    unit="h",
    clause="regulation sheet 8.3: the same value for four hours while the source runs [D]",
    reach_h=reach_of(LEARNED_DAYS) + 1,
    lead=True,
    life=Life(keep_h=2),
)
