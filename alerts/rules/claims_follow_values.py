"""Flags and marks that come when values rise.

What it says    what the plant's own flags and marks took out of the judgement was above the limit far more often than
                chance would have it, by the share of other hours that are.
Why it matters  a flag says that the instrument, and not the gas, was at fault. Faults of instruments do not know the
                limit; claims that do are made to hide what was measured.
Not for         calibrations, and work with zero and span gas, under which the value also lies at nothing for a while;
                start-up, shut-down and stopped sources, whose marks rightly cover high values; values not sent under a
                flag.
Source          false marking is data fraud (Monitoring Regulation, art. 25; regulation sheet, 5.1, V-P S12); the test
                is our own [D].

The statistic: an episode begins with an hour of which three minutes or more are claimed (flags F M S D B, or a mark of
maintenance, calibration or fault), after an hour that is not. Of the n episodes of nine days, k had a value above the
limit under the claim. Of the m hours without a claim, j had one at some time; so an episode that knows nothing of the
values has one with a chance of about p = (j + 1) / (m + 2). Found is where k is five or more and that many or more of n
have a binomial chance below 1e-5, until a day after the last of them: by chance once in centuries of a stack, for nine
days and three pollutants make some 120 tests of their own a year.

The limit is taken back to what the instrument shows, by the usual ratio of the sent mean to the corrected one.

What else explains it    an analyser that goes over range and faults just when the gas is high; faults of the process
that are marked as such; flags set by a person who takes an exceedance for a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import comb
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import MAJOR, Life, Outcomes, Rule, levels
from alerts.rules.said import WORK_KINDS, marks_of, touched_by
from alerts.rules.stretches import of_last
from alerts.rules.usual import first_instrument, reach_of, usual
from plant.readings import Truths, Values

CLAIMED_S: Final = 180.0  #: purges of the sampling line are shorter [D]
ZERO: Final = 0.2
"""Of the usual value: where a quarter of what was sent under a claim lies below it, the line carried zero gas or air,
as it does when somebody works on the analyser. A purge that falls into a claim is shorter. [D]"""
LEAST: Final = 5  #: episodes above the limit: a habit and no mishap [D]
CHANCE: Final = 1e-5
WINDOW_H: Final = 9 * 24
RATIO_DAYS: Final = 4
RECENT_H: Final = 24


def judge(history: History) -> Iterator[Outcomes]:
    """Each pollutant under each pack, by the instrument that the stack is judged from."""
    instrument = first_instrument(history)
    marks = touched_by(history, marks_of(history, *WORK_KINDS))
    for (pack, pollutant), hours in history.verdicts.items():
        channel = "no" if pollutant == "nox" and history.stack.nox_from != "nox" else pollutant
        if (instrument, channel) in history.channels:
            yield _outcomes(history, instrument, channel, marks, pack, pollutant, hours)


def _outcomes(
    history: History, instrument: str, channel: str, marks: Truths, pack: str, pollutant: str, hours: VerdictHours
) -> Outcomes:
    flagged = history.value(instrument, channel, "other_s") >= CLAIMED_S
    seen = ~np.isnan(history.value(instrument, channel, "seen_s"))
    claimed = flagged | (marks & seen)
    begins = claimed & ~np.concatenate([[False], claimed[:-1]])
    above, otherwise = _above(history, instrument, channel, hours, flagged)
    hidden, open_hours = begins & above, seen & ~claimed
    n, k = of_last(begins, WINDOW_H), of_last(hidden, WINDOW_H)
    m, j = of_last(open_hours, WINDOW_H), of_last(open_hours & otherwise, WINDOW_H)
    found = (k >= LEAST) & (of_last(hidden, RECENT_H) > 0)
    for at in np.flatnonzero(found):
        found[at] = _chance(int(n[at]), int(k[at]), int(m[at]), int(j[at])) < CHANCE

    def evidence(at: int) -> Mapping[str, Any]:
        numbers = int(n[at]), int(k[at]), int(m[at]), int(j[at])
        names = ("episodes", "episodes_above", "other_hours", "other_hours_above")
        return {
            "instrument": instrument,
            "window_h": WINDOW_H,
            **dict(zip(names, numbers, strict=True)),
            "chance": _chance(*numbers),
            "emission_limit": float(hours.limit[at]) if np.isfinite(hours.limit[at]) else None,
        }

    return Outcomes(
        level=levels(found, seen, MAJOR),
        observed=np.divide(k, n, out=np.zeros(n.size), where=n > 0),
        limit=(j + 1) / (m + 2),
        evidence=evidence,
        pollutant=pollutant,
        pack=pack,
    )


def _above(
    history: History, instrument: str, channel: str, hours: VerdictHours, flagged: Truths
) -> tuple[Truths, Truths]:
    """Hours with a value above the limit under their claim (a flag, where *flagged*, else a mark), and at any time."""

    def of(name: str) -> Values:
        return history.value(instrument, channel, name)

    mean = of("mean")
    ratio = np.divide(mean, hours.corrected, out=np.full(mean.size, np.nan), where=hours.corrected > 0)
    bound = hours.limit * usual(history, ratio, days=RATIO_DAYS)
    zero = ZERO * usual(history, mean, days=RATIO_DAYS)
    under_flag = (of("claim_high") > bound) & ~(of("claim_q25") < zero)
    under_mark = (mean > bound) & ~(of("low") < zero)
    return np.where(flagged, under_flag, under_mark), of("high") > bound


@lru_cache(maxsize=4096)  # the numbers of one window come again hour after hour
def _chance(n: int, k: int, m: int, j: int) -> float:
    """That *k* or more of *n* episodes are above the limit by chance."""
    p = (j + 1) / (m + 2)
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


RULE: Final = Rule(
    name="claims_follow_values",
    judge=judge,
    unit="share of the episodes",
    clause="Monitoring Regulation, art. 25: false marking; binomial test [D]",
    reach_h=WINDOW_H + reach_of(RATIO_DAYS),
    lead=True,
    life=Life(keep_h=6),
)
