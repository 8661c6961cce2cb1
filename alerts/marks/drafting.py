"""Drafts of marks: what the rows of a stack's local day say that the plant would have to declare.

A draft changes no verdict. It is a function of the day's rows and of `MARGIN_US` on both sides, and of nothing else, so
the same rows give the same drafts in whatever order they came. What was filed or dismissed is `store.mark_drafts`'.

What is drafted     stretches in which rows say `stopped`, `starting`, `stopping` or `banked`; in which a flag takes out
                    what is judged; in which a unit without a state draws hardly any power.
What is not         stretches of a quarter of an hour or less: an hour of 60 minutes still has its 45 valid ones. HJ 76
                    names an hour by C, M or D from more than 15 minutes on (regulation sheet, 3.8; V-S). And what a
                    second instrument measured all the while, unless each is in a duct of its own: then all are needed.
Cut at midnight     a condition of several days is one draft a day, each with a deadline of its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plant.channels import CORRECTORS, POLLUTANTS
from plant.periods import HOUR, MINUTE

SHORTEST_US: Final = 15 * MINUTE  #: no longer than that, and no hour loses its 45 valid minutes
JOINED_US: Final = 5 * MINUTE  #: between two stretches that are one [D]
MARGIN_US: Final = HOUR  #: of rows beside the day, so that midnight shortens nothing below `SHORTEST_US`
BACKED_UP: Final = 0.75  #: share of a stretch that another instrument measured: then nothing was lost [D]
IDLE_SHARE: Final = 0.10  #: of the registered upper end of production power; no text states a threshold [D]

BY_STATE: Final = {"stopped": "stopped", "starting": "start_up", "stopping": "shut_down", "banked": "stopped"}
BY_FLAG: Final = {"C": "calibration", "M": "maintenance", "S": "maintenance", "D": "fault", "F": "fault"}
"""The kind of mark by HJ 212 flag. A value set by hand (S) and an instrument out of operation (F) have no kind of their
own: these are the nearest, and the plant may change them before it files. [D]"""
POWER: Final = "power"  #: the cause of a draft that no state and no flag is behind

_JUDGED: Final = frozenset((*POLLUTANTS, "no", "no2", *CORRECTORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows of one instrument that follow one another and say the same. Instants in microseconds."""

    instrument: str
    start: int
    end: int
    rows: int
    flag: str
    flags: Mapping[str, str]  #: of channels that have another than *flag*
    state: str | None
    idle: bool  #: production power below `IDLE_SHARE` of its range

    @property
    def letters(self) -> dict[str, list[str]]:
        """The channels of what is judged by each flag that takes them out."""
        found: dict[str, list[str]] = {}
        if self.flag in BY_FLAG:
            found[self.flag] = []  # the row's own flag: every channel
        for channel, letter in sorted(self.flags.items()):
            if letter in BY_FLAG and channel in _JUDGED:
                found.setdefault(letter, []).append(channel)
        return found

    @property
    def measures(self) -> bool:
        return self.state not in BY_STATE and not self.letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mark that the plant might file."""

    draft_id: str
    kind: str
    cause: str  #: a state, a flag or `power`
    start: int
    end: int
    goes_on: bool  #: as far as the rows reach, or beyond the day
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Run:
    start: int
    end: int
    parts: tuple[Stretch, ...]


def draft_day(
    stack: tuple[str, str], stretches: Sequence[Stretch], *, first: int, end: int, ducts: bool = False
) -> list[Draft]:
    """The drafts of the local day `[first, end)` of a *stack* (its site's code and its own), by their start.

    *stretches* are of all instruments that judge the stack, and reach `MARGIN_US` beyond the day on both sides. Of
    *ducts* none stands in for another.
    """
    if not stretches:
        return []
    newest = max(stretch.end for stretch in stretches)
    found = []
    for cause, said in _causes(stretches, ducts=ducts).items():
        for run in _runs(said):
            start, stop = max(run.start, first), min(run.end, end)
            if run.end - run.start > SHORTEST_US and start < stop:
                goes_on = run.end >= min(newest, end + MARGIN_US)
                found.append(_draft(stack, cause, run, start, stop, goes_on=goes_on))
    return sorted(found, key=lambda draft: (draft.start, draft.kind, draft.cause))


def _causes(stretches: Sequence[Stretch], *, ducts: bool) -> dict[str, list[Stretch]]:
    """The stretches by what is to be declared of them; what says that the source stands still needs no other reason."""
    by_cause: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        if stretch.state in BY_STATE:
            by_cause.setdefault(str(stretch.state), []).append(stretch)
            continue
        for letter in stretch.letters:
            by_cause.setdefault(letter, []).append(stretch)
        if stretch.idle and stretch.state is None:
            by_cause.setdefault(POWER, []).append(stretch)
    measured: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        if stretch.measures and not ducts:
            measured.setdefault(stretch.instrument, []).append(stretch)
    for cause in by_cause.keys() & BY_FLAG.keys():
        by_cause[cause] = [one for one in by_cause[cause] if not _backed_up(one, measured)]
    still = [run for state in by_cause.keys() & BY_STATE.keys() for run in _runs(by_cause[state])]
    return {cause: _outside(said, still) if cause not in BY_STATE else said for cause, said in by_cause.items()}


def _backed_up(stretch: Stretch, measured: Mapping[str, Iterable[Stretch]]) -> bool:
    """Whether another instrument measured through nearly all of *stretch*."""
    return any(
        sum(max(0, min(one.end, stretch.end) - max(one.start, stretch.start)) for one in of)
        >= BACKED_UP * (stretch.end - stretch.start)
        for instrument, of in measured.items()
        if instrument != stretch.instrument
    )


def _outside(said: Iterable[Stretch], still: Iterable[_Run]) -> list[Stretch]:
    return [one for one in said if not any(run.start <= one.start and one.end <= run.end for run in still)]


def _runs(said: Iterable[Stretch]) -> list[_Run]:
    """*said*, of whatever instrument, joined where little lies between."""
    runs: list[_Run] = []
    for one in sorted(said, key=lambda stretch: (stretch.start, stretch.end, stretch.instrument)):
        if runs and one.start - runs[-1].end <= JOINED_US:
            last = runs[-1]
            runs[-1] = _Run(last.start, max(last.end, one.end), (*last.parts, one))
        else:
            runs.append(_Run(one.start, one.end, (one,)))
    return runs


def _draft(stack: tuple[str, str], cause: str, run: _Run, start: int, end: int, *, goes_on: bool) -> Draft:
    channels = sorted({channel for part in run.parts for channel in part.letters.get(cause, ())})
    return Draft(
        draft_id=draft_id(stack, cause, start),
        kind=BY_STATE.get(cause) or BY_FLAG.get(cause) or "stopped",
        cause=cause,
        start=start,
        end=end,
        goes_on=goes_on,
        evidence={
            "instruments": sorted({part.instrument for part in run.parts}),
            "channels": channels,  # empty: all of the row
            "rows": sum(part.rows for part in run.parts if part.start < end and part.end > start),
            "stretches": sum(part.start < end and part.end > start for part in run.parts),
        },
    )


def draft_id(stack: tuple[str, str], cause: str, start: int) -> str:
    """A function of stack, cause and start, and of nothing else."""
    digest = hashlib.blake2b("\n".join((*stack, cause, str(start))).encode(), digest_size=15).digest()
    return "dr-" + base64.b32encode(digest).decode().lower()
