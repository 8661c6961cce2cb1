"""Value that jumps though its process does not.

What it says    the level of one channel changed from one minute to the next by more than three standard deviations of
                its last week, and stayed there, while nothing else at the stack moved.
Why it matters  gas changes with what burns, and then more than one channel shows it. A level that changes by itself was
                changed: a slope, a range, a valve in the sampling line.
Not for         peaks that pass within minutes; hours with values over range; the ten minutes after a calibration or
                a flag, and the five before one; starts and stops; stacks that send nothing of their process, and rows
                that are more than a minute apart.
Source          more than 3 sigma, one non-official recipe (regulation sheet, 8.3, V-S S38); 3 sigma of the last 7 d in
                one minute, not with a process change [D].

The standard deviation is that of all values of the 168 hours before. A noisy channel changes by three of it all the
time, so the change must also be twice the largest of an ordinary day, make most of the deviation of its own hour, and
lie between two levels of five minutes that are as far apart. Of a change in the three minutes on either side of the
turn of an hour the levels are the means of both hours; it is said of the later one.

What else explains it    one burner, line or filter chamber that was taken over at once; a purge that nobody flagged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.stretches import of_last
from alerts.rules.usual import WEEK, other_than_first, reach_of, running, usual
from plant.features import HEAVY
from plant.minute_features import BESIDE_LEAST, SETTLE_MIN
from plant.periods import HOUR, Instants
from plant.readings import Truths, Values

SIGMAS: Final = 3.0
LARGEST_TIMES: Final = 2.0  #: of the largest change of an ordinary day [D]
MOST_OF_IT: Final = 1.6
"""Times the hour's own deviation that the levels lie apart. A step in an hour without any noise makes half of itself of
deviation at the most, so two times; noise makes levels of five minutes that differ by less than one. [D]"""
AT_ONCE: Final = 2 / 3  #: of the way from level to level lies in the one minute [D]
FEWEST_H: Final = 72  #: of the week that must be known

_T = TypeVar("_T", Truths, Values)

PROCESS: Final = ("flow", "temperature", "load_pct", "power_production_kw")
MOVED_TIMES: Final = 1.5  #: of the range that a process value has in the widest hours of an ordinary day [D]
WIDEST: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """The largest change within each hour, or around its start; shape (n_hours,)."""

    step: Values
    minute: Values  #: in which it ends; below 0 of the hour before
    before: Values  #: the levels on both sides of it
    after: Values
    spread: Values  #: deviation of the values in the hour, or the larger of both
    grain: Values
    undisturbed: Truths

    @property
    def shift(self) -> Values:
        return np.abs(self.after - self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    within: _Change
    turn: _Change
    sigma: Values  #: of the week before

    def moved(self, history: History, *, at_the_turn: bool) -> Truths:
        """Hours in which it changed too, or around whose start it did."""
        largest = usual(history, self.within.step, share=1.0)
        # In another minute, maybe: of two changes of an hour one channel may show the first best, one the second.
        level = self.within.shift > SIGMAS * self.sigma
        if not at_the_turn:
            return level | (self.within.step > largest)
        return level | _before(level) | (self.turn.shift > SIGMAS * self.sigma) | (self.turn.step > largest)


def judge(history: History) -> Iterator[Outcomes]:
    """Each gas, dust and oxygen, by instrument."""
    channels = {key: _channel(history, *key) for key in history.channels if key[1] in HEAVY}
    runs = running(history)
    runs &= _before(runs)
    process = [key for key in history.channels if key[1] in PROCESS]
    told = np.any([np.zeros_like(runs), *(~np.isnan(history.value(*key, "mean")) for key in process)], axis=0)
    for (instrument, channel), own in channels.items():
        others = [of for key, of in channels.items() if key[0] == instrument and key[1] != channel]
        yield _outcomes(history, instrument, channel, own, others, runs, told)


def _outcomes(
    history: History,
    instrument: str,
    channel: str,
    own: _Channel,
    others: list[_Channel],
    runs: Truths,
    told: Truths,
) -> Outcomes:
    within = _alone(history, own, others, _leaps(own, own.within) & runs, at_the_turn=False)
    turn = _alone(history, own, others, _leaps(own, own.turn) & runs, at_the_turn=True)

    def evidence(at: int) -> Mapping[str, Any]:
        change = own.within if within[at] else own.turn
        figures = {"step": change.step, "step_minute": change.minute}
        figures |= {"step_before": change.before, "step_after": change.after, "sigma_of_week": own.sigma}
        return {"instrument": instrument, **{name: float(values[at]) for name, values in figures.items()}}

    return Outcomes(
        level=levels(within | turn, told & ~np.isnan(own.sigma) & ~np.isnan(own.within.step)),
        observed=np.where(turn & ~within, own.turn.shift, own.within.shift),
        limit=SIGMAS * own.sigma,
        evidence=evidence,
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _leaps(of: _Channel, change: _Change) -> Truths:
    """Hours with a change that is large, made at once, and between two levels."""
    step, shift, least = change.step, change.shift, SIGMAS * of.sigma
    found = (shift > least) & (step > least) & (step > AT_ONCE * shift) & (shift > MOST_OF_IT * change.spread)
    return found & (step > change.grain) & change.undisturbed  # one step of its resolution is no change


def _alone(history: History, own: _Channel, others: list[_Channel], found: Truths, *, at_the_turn: bool) -> Truths:
    """Those of the *found* hours whose change is larger than on ordinary days, while nothing else moved."""
    if found.any():  # few hours come so far
        change = own.turn if at_the_turn else own.within
        found = found & (change.step > LARGEST_TIMES * usual(history, own.within.step, share=1.0))
    if found.any():
        found = found & ~_process_moved(history, at_the_turn=at_the_turn)
    for other in others:
        if found.any():
            found = found & ~other.moved(history, at_the_turn=at_the_turn)
    return found


def _channel(history: History, instrument: str, channel: str) -> _Channel:
    def of(name: str) -> Values:
        return history.value(instrument, channel, name)

    mean, std, step, minute, quiet = of("mean"), of("std"), of("step"), of("step_minute"), _before(of("quiet_s"))
    in_range = ~(of("t_s") > 0)  # else it comes from the range's end or goes there
    within = _Change(
        step=step,
        minute=minute,
        before=of("step_before"),
        after=of("step_after"),
        spread=std,
        grain=of("grain"),
        undisturbed=in_range & ~(quiet + 60 * minute < 60 * SETTLE_MIN),
    )
    # Beside a change at the turn of an hour, or so near it that a level within the hour is not known, lie whole hours.
    early = np.where(minute < BESIDE_LEAST, step, np.nan)
    late = _before(np.where(minute > 60 - BESIDE_LEAST, step, np.nan))
    each = np.stack([np.abs(of("minute_first") - _before(of("minute_last"))), early, late])
    which = np.argmax(np.nan_to_num(each, nan=-1.0), axis=0)
    turn = _Change(
        step=np.fmax.reduce(each),
        minute=np.choose(which, [np.zeros_like(step), minute, _before(minute) - 60]),
        before=_before(mean),
        after=mean,
        spread=np.fmax(std, _before(std)),
        grain=np.fmax(of("grain"), _before(of("grain"))),
        undisturbed=in_range & _before(in_range) & ~(quiet < 60 * SETTLE_MIN),
    )
    # A value that never moved has no sigma; its resolution is the least that can be told.
    sigma = np.maximum(_sigma(history.start, mean, std), np.nan_to_num(usual(history, of("grain"))))
    return _Channel(within=within, turn=turn, sigma=sigma)


def _before(values: _T) -> _T:
    """Of each hour what was in the hour before; of the first NaN, or False."""
    nothing = np.full(1, np.nan if values.dtype.kind == "f" else False)
    return np.concatenate([nothing, values])[: values.size]


def _sigma(start: Instants, mean: Values, std: Values) -> Values:
    """The standard deviation of all values of the week before each hour; NaN where too few of its hours are known."""
    known = ~np.isnan(mean)
    n = of_last(known, WEEK * 24 + 1) - known
    first = np.divide(_of_week(start, np.where(known, mean, 0.0)), n, out=np.full(n.size, np.nan), where=n >= FEWEST_H)
    second = _of_week(start, np.where(known, mean * mean + std * std, 0.0)) / np.maximum(n, 1)
    sigma: Values = np.sqrt(np.maximum(second - first * first, 0.0))
    return sigma


def _of_week(start: Instants, values: Values) -> Values:
    """Their sum over the week before each hour.

    Added up by whole days of UTC and by what is left at both ends, so that it is the same to the last bit wherever a
    history begins.
    """
    into = int(start[0] // HOUR % 24) if start.size else 0
    n_days = -(-(into + values.size) // 24)
    grid = np.zeros((WEEK + n_days, 24))
    grid.reshape(-1)[WEEK * 24 + into :][: values.size] = values
    until = np.cumsum(grid, axis=1)
    since = np.cumsum(grid[:, ::-1], axis=1)[:, ::-1]
    days = sum(until[day : day + n_days, -1:] for day in range(1, WEEK))
    week = since[:n_days] + days + np.pad(until[WEEK:, :-1], ((0, 0), (1, 0)))
    return np.asarray(week.reshape(-1)[into : into + values.size])


def _process_moved(history: History, *, at_the_turn: bool) -> Truths:
    """Hours in which the process itself changed, or around whose start it did."""
    moved = np.zeros(history.n_hours, dtype=bool)
    for instrument, channel in history.channels:
        if channel in PROCESS:
            high, low = (history.value(instrument, channel, name) for name in ("high", "low"))
            if at_the_turn:
                high, low = np.fmax(high, _before(high)), np.fmin(low, _before(low))
            moved |= high - low > MOVED_TIMES * usual(history, high - low, share=WIDEST)
    return moved


RULE: Final = Rule(
    name="step",
    judge=judge,
    unit="as sent",
    clause="regulation sheet 8.3: 3 sigma of the last 7 d in one minute, not with a process change [D]",
    reach_h=reach_of(WEEK) + 1,
    lead=True,
    life=Life(keep_h=6),
)
