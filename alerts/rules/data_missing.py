"""Rows that should be there and are not.

What it says    for 15 minutes or more, up to now or between two rows, no row of any instrument of the stack covers the
                time. The timer is its own: it needs no row to run.
Why it matters  who must be monitored has to transmit at all times; missing data is neither compliance nor a breach, and
                an hour without them can hide both (Code arts 184, 1086).
Not for         stacks that never sent, or not for two weeks (nothing is decided then, and nothing ends). It is about
                what arrived here: an edge that holds rows back looks the same until they come, and then it is
                withdrawn. It never ends an exceedance. A stopped source still reports: stops excuse nothing.
Source          own timer of 15 minutes [D]; duty: Code art 184.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import CLEAR, LONGEST_REACH_H, MAJOR, UNDECIDED, WARNING, Life, Outcomes, Rule, levels
from plant.periods import HOUR, SECOND
from plant.readings import Truths, Values

NAME: Final = "data_missing"

TIMER_S: Final = 900.0  #: a quarter of an hour is also what an hour may lack before it is not valid (contract, 5)
MISSED_ROWS: Final = 2  #: and, of a stack that sends seldom, so many rows
MAJOR_S: Final = 6 * 3600.0  #: a quarter of a day: the day's mean can no longer have its 20 valid hours soon [D]
_HOUR_S: Final = HOUR / SECOND


def judge(history: History) -> Iterator[Outcomes]:
    if not history.n_hours:
        return
    timer = max(TIMER_S, MISSED_ROWS * float(history.stack.interval_s))
    gap, in_hour = longest_gap_s(history), history.outlet["gap_s"]
    known = _sent_before(history.outlet["rows"] > 0)
    level = levels(gap >= timer, known, WARNING)
    level[known & (gap >= MAJOR_S)] = MAJOR
    level[~history.ended & (level == CLEAR)] = UNDECIDED  # a running hour may begin an alert, and ends none
    level[sorted(history.unread)] = UNDECIDED
    yield Outcomes(
        level=level,
        observed=gap,
        limit=np.full(history.n_hours, timer),
        evidence=lambda i: {
            "longest_gap_s": float(gap[i]),
            "of_it_in_this_hour_s": min(float(gap[i]), float(in_hour[i])),
            "rows": float(history.outlet["rows"][i]),
            "hour_ended": bool(history.ended[i]),
        },
    )


def longest_gap_s(history: History) -> Values:
    """Shape (n_hours,): the longest stretch without rows that lasts or ends in each hour, up to now. [s]"""
    lead, tail, inside = (_known(history, name) for name in ("lead_gap_s", "tail_gap_s", "gap_s"))
    end = history.start + HOUR
    ahead = np.maximum(end - history.now, 0) / SECOND  # of the running hour: what is still to come
    carried = _carried_s(lead, tail)
    empty = lead >= _HOUR_S
    lasting = np.where(empty, carried + _HOUR_S, tail) - ahead
    ended = np.where(empty | (lead <= 0), 0.0, carried + lead)
    # What touches the end of the hour is `lasting`; where that is the longest, nothing is known of the others.
    within = np.where((inside > tail) | (ahead <= 0), inside, 0.0)
    longest: Values = np.maximum(np.maximum(within, ended), np.where(history.start < history.now, lasting, 0.0))
    return longest


def _known(history: History, name: str) -> Values:
    """A figure of the rows, 0 where rows came that are not judged yet: they may leave no gap."""
    if not history.unread:
        return history.outlet[name]
    values = history.outlet[name].copy()
    values[sorted(history.unread)] = 0.0
    return values


def _carried_s(lead: Values, tail: Values) -> Values:
    """What the gap at the start of each hour had lasted before it. [s]"""
    hours = np.arange(lead.size)
    last = np.maximum.accumulate(np.where(lead < _HOUR_S, hours, -1))
    before = np.concatenate([[-1], last[:-1]])  # the last hour before in which anything is
    since: Values = tail[np.maximum(before, 0)] + (hours - 1 - before) * _HOUR_S
    return np.where((before >= 0) & (lead > 0), since, 0.0)


def _sent_before(sent: Truths) -> Truths:
    """Hours of which, or of the two weeks before, any row is there."""
    hours = np.arange(sent.size)
    last = np.maximum.accumulate(np.where(sent, hours, -1))
    known: Truths = (last >= 0) & (hours - last < LONGEST_REACH_H)
    return known


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="s",
    clause="Code arts 184, 1086",
    reach_h=LONGEST_REACH_H,
    early=True,
    life=Life(hold_h=1, keep_h=1),
)
