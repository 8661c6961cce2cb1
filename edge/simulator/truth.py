"""The ground truth of a run: what was planted, when, and which verdicts and alerts must come of it.

Two series are judged with the arithmetic of `plant`: what the analysers showed, as the rows say it, and what really
left the stack. Where they differ somebody was deceived. The document is explained in docs/simulator.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from edge.simulator.activity import RUNNING, Effect
from edge.simulator.analyser import MAINTAINED, NORMAL, OVER
from edge.simulator.catalogue import CATALOGUE
from edge.simulator.expected import expected_of
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.kinds import KINDS
from edge.simulator.noise import Floats, Ints
from edge.simulator.works import Block, StackPlan, Works
from plant.channels import POLLUTANTS
from plant.hours import average_hours
from plant.limits import governing
from plant.packs import Pack, Period, pack
from plant.periods import hour_start
from plant.readings import Rows
from plant.register import Stack
from plant.verdicts import Verdict, judge_hours, method_of

SCHEMA: Final = 1
AFTER_H: Final = 1  #: hours after a fault in which what it did still leaves lines, chimneys and filters
_LISTED: Final = (Verdict.BREACHED, Verdict.UNDECIDED, Verdict.EXCLUDED)
_AT_ONCE: Final = 400_000  # steps times stacks judged together: whole days of a works, some hundred megabytes
_US: Final = 1000  # microseconds of a millisecond

Hours = dict[str, list[int]]  #: by verdict other than clear, the starts of the hours [epoch ms]
Series = dict[tuple[str, str, str], Hours]  #: by stack, pack and pollutant


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A works as it was played: what was done to it stands beside what was planned."""

    works: Works
    until_ms: int
    effects: tuple[Effect, ...] = ()
    injected: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Judged:
    """The hours of one works that are not clear, as shown and, at stacks that a fault befalls, as they were."""

    shown: Series = field(default_factory=dict)
    real: Series = field(default_factory=dict)


def truth_of(played: Iterable[Played], *, scenario: str, digest: str, seed: int) -> dict[str, Any]:
    """The truth document of *played*; each works is reckoned once more and judged."""
    sites, faults = [], []
    for one in played:
        judged = _judge(one)
        sites.append(_site(one, judged))
        faults += [_entry(one, fault, judged) for fault in _faults(one)]
    return {
        "schema": SCHEMA,
        "scenario": scenario,
        "digest": digest,
        "seed": seed,
        "sites": sites,
        "faults": faults,
    }


def _judge(played: Played) -> _Judged:
    works = played.works
    first_ms = hour_start(works.begin_ms * _US, ZoneInfo(works.timezone)) // _US
    hours_at_once = max(1, _AT_ONCE * works.step_ms // HOUR_MS // max(1, len(works.stacks)))
    judged = _Judged()
    state = works.begin
    for start_ms in range(first_ms, played.until_ms, hours_at_once * HOUR_MS):
        end_ms = min(played.until_ms, start_ms + hours_at_once * HOUR_MS)
        n_hours = -((start_ms - end_ms) // HOUR_MS)
        for block, after in works.blocks(
            state, end_ms, played.effects, played.injected, at_once_ms=hours_at_once * HOUR_MS
        ):
            _judge_block(judged, played, block, start_ms, n_hours)
            state = after
    return judged


def _judge_block(judged: _Judged, played: Played, block: Block, first_ms: int, n_hours: int) -> None:
    faults = _faults(played)
    for column, plan in enumerate(played.works.stacks):
        code = plan.stack.code
        ours = [fault for fault in faults if fault.stack in ("", code)]
        taken = np.ones(block.at_ms.size, dtype=bool)
        for fault in ours:
            if fault.kind == "rows_lost":
                taken[fault.rows(block.at_ms)] = False
        shown = _shown(played.works, block, column, plan.stack, taken)
        _add(judged.shown, code, _verdicts(shown, plan.stack, first_ms, n_hours), first_ms)
        if ours:
            real = _real(played.works, block, column)
            _add(judged.real, code, _verdicts(real, _plain(plan), first_ms, n_hours), first_ms)


def _shown(works: Works, block: Block, column: int, stack: Stack, taken: np.ndarray[Any, np.dtype[np.bool_]]) -> Rows:
    """What one stack's rows say, where no clock is wrong."""
    measured = works.analysers.measured[:, column]
    values, flags = {}, {}
    row_flag = block.flag[taken, column]
    for row, name in enumerate(works.analysers.channels):
        if not measured[row]:
            continue
        values[name] = block.shown[row, taken, column]
        letters = np.where(block.over[row, taken, column], OVER, row_flag)
        if name in block.hidden:
            letters = np.where(block.hidden[name][taken, column], MAINTAINED, letters)
        flags[name] = letters.astype(np.uint8)
    values["flow"] = block.signals["flow"][taken, column]
    return Rows(
        sampled_at=block.at_ms[taken] * _US,
        interval_s=np.full(int(taken.sum()), works.step_s, dtype=np.int64),
        not_running=block.state[taken, column] != RUNNING,
        values=values,
        flags=flags,
        row_flag=row_flag,
    )


def _real(works: Works, block: Block, column: int) -> Rows:
    """What left the stack, as an analyser without fault, delay or pause would have seen it: dry, standard state."""
    n = block.at_ms.size
    values: dict[str, Floats] = {name: getattr(block.gas, name)[:, column] for name in (*POLLUTANTS, "o2", "flow")}
    return Rows(
        sampled_at=block.at_ms * _US,
        interval_s=np.full(n, works.step_s, dtype=np.int64),
        not_running=block.really[:, column] != RUNNING,
        values=values,
        flags={},
        row_flag=np.full(n, NORMAL, dtype=np.uint8),
    )


def _plain(plan: StackPlan) -> Stack:
    """The stack without what its analysers need converted."""
    return replace(plan.stack, channels={}, nox_from="nox", settle_s=0)


def _verdicts(rows: Rows, stack: Stack, first_ms: int, n_hours: int) -> Iterator[tuple[str, str, Ints]]:
    """Pack, pollutant, and the place of each hour's verdict in `_LISTED`, -1 where it is clear."""
    for rules in _packs(stack):
        for pollutant, rule in governing(rules, stack).items():
            if pollutant not in rows.values and not (pollutant == "nox" and "no" in rows.values):
                continue
            corrected = stack.channel(pollutant).corrected
            process = rule.outlet.key
            means = average_hours(
                {"main": rows},
                pollutant,
                stack,
                method_of(rules, process, already_corrected=corrected),
                first=first_ms * _US,
                n_hours=n_hours,
            )
            found = judge_hours(
                means,
                rules,
                process,
                pollutant,
                already_corrected=corrected,
                now=(first_ms + (n_hours + 1) * HOUR_MS) * _US,
                limit=rule.limit,
            )
            place = np.full(n_hours, -1, dtype=np.int64)
            for at, verdict in enumerate(_LISTED):
                place[found.verdict == verdict] = at
            yield rules.name, pollutant, place


def _add(series: Series, code: str, verdicts: Iterable[tuple[str, str, Ints]], first_ms: int) -> None:
    for name, pollutant, place in verdicts:
        hours = series.setdefault((code, name, pollutant), {str(verdict): [] for verdict in _LISTED})
        for at, verdict in enumerate(_LISTED):
            hours[str(verdict)] += [first_ms + int(hour) * HOUR_MS for hour in np.flatnonzero(place == at)]


def _packs(stack: Stack) -> list[Pack]:
    """Those that judge hours of this outlet with figures that are established."""
    packs = [rules for rules in map(pack, stack.packs) if rules.averaging.period == Period.HOUR]
    return [rules for rules in packs if rules.outlet(stack.process).base_o2_unset is None]


def _site(played: Played, judged: _Judged) -> dict[str, Any]:
    works = played.works
    return {
        "site": works.code,
        "timezone": works.timezone,
        "from": _text(works.begin_ms),
        "to": _text(played.until_ms),
        "interval_s": works.step_s,
        "orders": [
            {"unit": e.unit, "mode": e.mode, "since": _text(e.since_ms), "until": e.until_ms and _text(e.until_ms)}
            for e in (*works.stops, *played.effects)
        ],
        "stacks": [
            {
                "stack": plan.stack.code,
                "process": plan.stack.process,
                "kind": plan.kind,
                "hours": [
                    {"pack": name, "pollutant": pollutant, "shown": _texts(hours)}
                    for (code, name, pollutant), hours in judged.shown.items()
                    if code == plan.stack.code
                ],
            }
            for plan in works.stacks
        ],
    }


def _faults(played: Played) -> list[Fault]:
    """Those that had begun, as they lasted."""
    faults = played.works.lasting((*played.works.faults, *played.injected), played.effects)
    return [fault for fault in faults if fault.since_ms < min(fault.until_ms, played.until_ms)]


def _entry(played: Played, fault: Fault, judged: _Judged) -> dict[str, Any]:
    what = CATALOGUE[fault.kind]
    end_ms = min(fault.until_ms, played.until_ms)
    moved = {plan.stack.code: _pollutants(fault, KINDS[plan.kind].pollutants) for plan in played.works.stacks}
    if fault.stack:
        moved = {fault.stack: moved[fault.stack]}
    verdicts = list(_of_fault(fault, moved, judged, end_ms))
    above = any(found["shown"] is not None and found["shown"]["breached"] for found in verdicts)
    expected = expected_of(fault.kind, (end_ms - fault.since_ms) / HOUR_MS, above=above)
    return {
        "id": fault.id,
        "kind": fault.kind,
        "says": what.says,
        "site": played.works.code,
        "stack": fault.stack or None,
        "source": fault.source or None,
        "channel": fault.channel or None,
        "pollutants": sorted({pollutant for made in moved.values() for pollutant in made}),
        "start": _text(fault.since_ms),
        "end": _text(end_ms),
        "amount": {what.amount: fault.amount} if what.amount else None,
        "verdicts": verdicts,
        "rules": list(expected.must),
        "rules_by_clock": list(expected.by_clock),
        "may": list(expected.may),
    }


def _of_fault(
    fault: Fault, moved: Mapping[str, Sequence[str]], judged: _Judged, end_ms: int
) -> Iterator[dict[str, Any]]:
    """By stack, pack and pollutant, the hours that are not clear from the fault's first hour until it has passed."""
    since_ms, until_ms = _touched(fault, end_ms)
    for place, hours in judged.shown.items():
        code, name, pollutant = place
        if pollutant not in moved.get(code, ()):
            continue
        shown, real = (_texts(_within(found, since_ms, until_ms)) for found in (hours, judged.real[place]))
        # Which of two rows with one stamp counts is decided when they arrive.
        unknown = fault.kind == "clock_step"
        if unknown or any(shown.values()) or any(real.values()):
            place_of = {"stack": code, "pack": name, "pollutant": pollutant}
            yield {**place_of, "shown": None if unknown else shown, "real": real}


def _within(hours: Hours, since_ms: int, until_ms: int) -> Hours:
    return {verdict: [at for at in starts if since_ms <= at < until_ms] for verdict, starts in hours.items()}


def _touched(fault: Fault, end_ms: int) -> tuple[int, int]:
    """Half-open, of starts of hours; an hour begins at most an hour before what touches it."""
    wrong_ms = round(abs(fault.amount)) * 1000 if fault.kind == "clock_step" else 0
    return fault.since_ms - wrong_ms - HOUR_MS + 1, end_ms + wrong_ms + AFTER_H * HOUR_MS


def _pollutants(fault: Fault, made: Sequence[str]) -> Sequence[str]:
    """Those that *fault* moves at a stack that makes *made*."""
    if fault.channel in POLLUTANTS:
        return (fault.channel,)
    return CATALOGUE[fault.kind].abated or made


def _texts(hours: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
    return {verdict: [_text(at) for at in starts] for verdict, starts in hours.items()}


def _text(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
