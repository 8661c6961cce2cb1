"""Folding the outcomes of a rule into episodes: hours come in, alerts go out. No clock, no database, no rule in here.

Hours are counted while they are decided: found ones until the hold is reached, clear ones until the keep is. An
episode begins with its first found hour, which names it, and ends with the first of the clear hours that ended it.
`alerts.lifecycle` has the table of its states.

Its severity is the level of its hours, one more once it has lasted `escalate_after_h`. It rises with the first hour
that is graver, and falls after `step_down_after_h` found hours that are all lighter, to the gravest of those.

Folding in parts gives what folding at once gives: `Folded.states` says all that the next part has to know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from alerts.lifecycle import GOING_ON, OPEN, TRANSITIONS, Event, State
from alerts.rules.finding import Series, alert_id
from alerts.rules.rule import CLEAR, CRITICAL, SEVERITIES, UNDECIDED, Outcomes, Rule
from plant.periods import HOUR, Instants, instant

STEPS_KEPT: Final = 16  #: of its changes of severity, the last; an episode may go on for a year

Saved: TypeAlias = Mapping[str, Any]  #: a state as JSON holds it
Places: TypeAlias = npt.NDArray[np.intp]  #: of hours in the history, rising


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One alert of a folded rule. Instants are microseconds since the epoch; numbers are None where there are none."""

    series: Series
    severity: str
    period_start: int  #: of the first found hour
    period_end: int  #: of the last found hour
    fired_at: int  #: the start of the hour that made it fire
    ended_at: int | None  #: the start of the first of the clear hours that ended it; None: it goes on
    observed: float | None  #: with limit and evidence, of the hour that made it fire
    limit: float | None
    unit: str
    clause: str
    evidence: Mapping[str, Any]

    @property
    def alert_id(self) -> str:
        return alert_id(self.series, self.period_start)


@dataclass(frozen=True, slots=True)
class Folded:
    """The episodes of one series, and its state at each cut; None where nothing goes on."""

    episodes: list[Episode]
    states: list[Saved | None]


@dataclass(slots=True)
class _Watch:
    """One series while it is folded: where it stands and what its episode has so far.

    Its fields are what is saved; what they hold is replaced, never changed in place.
    """

    state: State = State.INACTIVE
    start: int = 0
    end: int = 0
    found_h: int = 0
    clear_h: int = 0
    clear_from: int = 0
    level: int = CLEAR  #: the severity
    lower_h: int = 0  #: found hours since the last that was as grave as the severity
    lower: int = CLEAR  #: the gravest of those
    steps: list[tuple[int, int]] = field(default_factory=list)  #: (hour, severity from then on); told since it fired
    fired: dict[str, Any] = field(default_factory=dict)  #: the hour that made it fire
    graver: dict[str, Any] = field(default_factory=dict)  #: the last hour with which its severity rose since
    worst: tuple[int, float | None, float | None, int] = (0, None, None, CLEAR)  #: hour, observed, limit, level
    last: tuple[int, float | None] = (0, None)  #: hour, observed

    @classmethod
    def of(cls, saved: Saved | None) -> _Watch:
        if saved is None:
            return cls()
        hour, observed, limit, level = saved["worst"]
        return cls(
            **{
                **saved,
                "state": State(saved["state"]),
                "steps": [(int(at), int(level)) for at, level in saved["steps"]],
                "fired": dict(saved["fired"]),
                "graver": dict(saved.get("graver", {})),
                "worst": (hour, observed, limit, level),
                "last": (saved["last"][0], saved["last"][1]),
            }
        )

    def saved(self) -> Saved | None:
        return {name: getattr(self, name) for name in self.__slots__} if self.state in GOING_ON else None

    def on(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """Hours of one series on their way through a watch."""

    series: Series
    rule: Rule
    outcomes: Outcomes
    start: Instants
    watch: _Watch
    episodes: list[Episode]

    def take(self, places: Places, level: int) -> None:
        """Decided hours in a row, all of one *level*."""
        if level == CLEAR:
            self._clear(places)
        else:
            for part in self._parts(places):
                self._found(part, level)

    def _clear(self, places: Places) -> None:
        watch = self.watch
        if watch.state == State.FIRING:
            watch.clear_from = int(self.start[places[0]])
        watch.clear_h += places.size
        watch.on(Event.KEPT if watch.clear_h >= self.rule.life.keep_h else Event.CLEAR)
        if watch.state == State.RESOLVED:
            self.episodes.append(_episode(self.series, watch, ended_at=watch.clear_from))

    def _parts(self, places: Places) -> Iterator[Places]:
        """*places* cut behind the hour that reaches the hold and behind the last before the escalation."""
        before = self.watch.found_h if self.watch.state in GOING_ON else 0
        life = self.rule.life
        cuts = {n - before for n in (life.hold_h, life.escalate_after_h) if n is not None}
        edges = [0, *sorted(cut for cut in cuts if 0 < cut < places.size), places.size]
        for first, end in pairwise(edges):
            yield places[first:end]

    def _found(self, places: Places, level: int) -> None:
        watch, life = self.watch, self.rule.life
        if watch.state not in GOING_ON:
            self._begin(int(self.start[places[0]]))
        watch.clear_h = watch.clear_from = 0
        watch.found_h += places.size
        watch.end = int(self.start[places[-1]]) + HOUR
        watch.last = (int(self.start[places[-1]]), _number(self.outcomes.observed[places[-1]]))
        self._note_worst(places, level)
        graver = life.escalate_after_h is not None and watch.found_h > life.escalate_after_h
        self._weigh(places, min(level + graver, CRITICAL))
        was_open = watch.state in OPEN
        watch.on(Event.HELD if watch.found_h >= life.hold_h else Event.FOUND)
        if watch.state == State.FIRING and not was_open:
            self._fire(int(places[-1]))

    def _begin(self, hour: int) -> None:
        watch = self.watch
        watch.start, watch.found_h = hour, 0
        watch.level = watch.lower = watch.lower_h = 0
        watch.steps, watch.fired, watch.graver = [], {}, {}
        watch.worst = (hour, None, None, CLEAR)

    def _fire(self, place: int) -> None:
        watch = self.watch
        watch.steps = [(int(self.start[place]), watch.level)]
        rule = self.rule
        watch.fired = {"unit": rule.unit, "clause": rule.clause, "lead": rule.lead, **self._shown(place)}

    def _shown(self, place: int) -> dict[str, Any]:
        """The numbers of one hour, as they are told."""
        return {
            "hour": int(self.start[place]),
            "observed": _number(self.outcomes.observed[place]),
            "limit": _number(self.outcomes.limit[place]),
            "evidence": plain(self.outcomes.evidence(place)),
        }

    def _note_worst(self, places: Places, level: int) -> None:
        """The gravest hour, among equals the one whose value is furthest from what it is held against."""
        _, observed, limit, standing = self.watch.worst
        if level < standing:
            return
        distances = np.abs(self.outcomes.observed[places] - self.outcomes.limit[places])
        distances[~np.isfinite(distances)] = -1.0
        at = int(np.argmax(distances))
        so_far = -1.0 if observed is None or limit is None else abs(observed - limit)
        if level > standing or distances[at] > so_far:
            place = places[at]
            worst = (_number(self.outcomes.observed[place]), _number(self.outcomes.limit[place]))
            self.watch.worst = (int(self.start[place]), *worst, level)

    def _weigh(self, places: Places, level: int) -> None:
        """Let the severity follow found hours that are all of one *level*."""
        watch, life = self.watch, self.rule.life
        if level < watch.level:
            watch.lower = max(watch.lower, level)
            left = life.step_down_after_h - watch.lower_h
            if places.size < left:
                watch.lower_h += places.size
            else:
                self._step(int(places[left - 1]), watch.lower)
                if left < places.size:
                    self._weigh(places[left:], level)
            return
        if level > watch.level:
            self._step(int(places[0]), level)
        watch.lower_h, watch.lower = 0, CLEAR

    def _step(self, place: int, level: int) -> None:
        watch = self.watch
        if level > watch.level and watch.state in OPEN:
            watch.graver = self._shown(place)
        watch.level, watch.lower_h, watch.lower = level, 0, CLEAR
        watch.steps = [*watch.steps, (int(self.start[place]), level)][-STEPS_KEPT:]


def fold(
    series: Series,
    rule: Rule,
    outcomes: Outcomes,
    start: Instants,
    *,
    first: int = 0,
    before: Saved | None = None,
    cuts: Sequence[int] = (),
) -> Folded:
    """Fold the hours from place *first* on into episodes: those that fired and were not over *before*.

    *start* has shape (n_hours,). *before* is the state at *first*; `Folded.states` are those ahead of the places
    *cuts*, which rise.
    """
    level = outcomes.level
    if before is None and not (level[first:] > CLEAR).any():
        return Folded([], [None] * len(cuts))
    watch = _Watch.of(before)
    episodes: list[Episode] = []
    folding = _Fold(series=series, rule=rule, outcomes=outcomes, start=start, watch=watch, episodes=episodes)
    places = np.flatnonzero(level[first:] != UNDECIDED) + first
    levels = level[places]
    marks = np.searchsorted(places, cuts)
    edges = np.unique(np.concatenate(([0, places.size], np.flatnonzero(np.diff(levels)) + 1, marks)))
    states: list[Saved | None] = []
    for begin, end in pairwise(edges.tolist()):
        while len(states) < len(cuts) and marks[len(states)] <= begin:
            states.append(watch.saved())
        folding.take(places[begin:end], int(levels[begin]))
    states += [watch.saved()] * (len(cuts) - len(states))
    if watch.state in OPEN:
        episodes.append(_episode(series, watch, ended_at=None))
    return Folded(episodes, states)


def unwatched(series: Series, saved: Saved, *, at: int) -> Episode | None:
    """What becomes of a state when its series is no longer watched from the instant *at*: its end, if it fired."""
    watch = _Watch.of(saved)
    ended_at = watch.clear_from if watch.state == State.CLEARING else max(at, watch.end)
    watch.on(Event.UNWATCHED)
    return _episode(series, watch, ended_at=ended_at) if watch.state == State.RESOLVED else None


def _episode(series: Series, watch: _Watch, *, ended_at: int | None) -> Episode:
    """The alert that a watch which fired stands for."""
    hour, observed, limit, _ = watch.worst
    return Episode(
        series=series,
        severity=SEVERITIES[watch.level - 1],
        period_start=watch.start,
        period_end=watch.end,
        fired_at=watch.fired["hour"],
        ended_at=ended_at,
        observed=watch.fired["observed"],
        limit=watch.fired["limit"],
        unit=watch.fired["unit"],
        clause=watch.fired["clause"],
        evidence={
            **watch.fired["evidence"],
            "lead": watch.fired["lead"],
            "hour": text(watch.fired["hour"]),
            "hours_found": watch.found_h,
            "worst": {"hour": text(hour), "observed": observed, "limit": limit},
            "last": {"hour": text(watch.last[0]), "observed": watch.last[1]},
            **({"graver": {**watch.graver, "hour": text(watch.graver["hour"])}} if watch.graver else {}),
            "severity_since": [[text(at), SEVERITIES[level - 1]] for at, level in watch.steps],
        },
    )


def plain(value: Any) -> Any:
    """*value* as JSON can hold it: numbers of numpy as Python's, None where there is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(at_us: int) -> str:
    return instant(at_us).isoformat().replace("+00:00", "Z")


def _number(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
