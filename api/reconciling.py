"""What was reported of a stack beside what its rows give, period by period, with the cause of each difference.

The arithmetic is `plant.reconciliation`'s; here the rows and the reported means are brought to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from alerts.enforcement.chain import utc_text
from plant.channels import UNITS
from plant.errors import Refused
from plant.limits import governing
from plant.packs import Pack, UnsetFigure, all_packs
from plant.periods import SECOND, instant
from plant.readings import Rows
from plant.reconciliation.computing import Question
from plant.reconciliation.naming import Explanation, Line, digits_of, reconcile
from plant.reconciliation.ways import FURTHEST_SHIFT_S, Scope
from plant.register import Stack
from plant.reports import LOGGER, PLATFORM, SOURCES
from store.measurements import read_rows
from store.pool import Connection
from store.reported import Run, reported_runs

MEASURED: Final = "measured"
CORRECTED: Final = "corrected"


async def reconciled(
    conn: Connection,
    stack_id: int,
    stack: Stack,
    pack: Pack,
    *,
    period_s: int,
    channels: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    most: int,
) -> list[dict[str, Any]]:
    """Lines of the newest *most* periods of `[start, end)` of which something was reported, newest first.

    Raises
    ------
    Refused
        If several ducts make the stack: no logger's mean of one of them is the stack's.
    """
    if stack.ducts:
        raise Refused(f"{stack.code} is weighted from several ducts: a logger's mean of one of them is not the stack's")
    runs = await reported_runs(conn, stack_id, period_s, channels, start=start, end=end, most=most)
    starts = [at for run in runs.values() for at in run.starts]
    if not starts:
        return []
    rows = await read_rows(
        conn,
        stack_id,
        stack,
        first=min(starts) - FURTHEST_SHIFT_S * SECOND,
        end=max(starts) + (period_s + FURTHEST_SHIFT_S) * SECOND,
    )
    instrument = next((name for name in stack.judged_from if name in rows), None)
    found = rows[instrument] if instrument is not None else _no_rows()
    lines = await asyncio.to_thread(_lines, found, stack, pack, period_s, runs)
    return sorted(lines, key=lambda line: (line["start"], line["channel"], line["value"]), reverse=True)


def _lines(rows: Rows, stack: Stack, pack: Pack, period_s: int, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    return [
        line
        for channel, run in runs.items()
        for asked in _asked(stack, pack, channel, period_s, run)
        for line in _beside(rows, stack, asked)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One value of one channel: the mean as measured, or at base oxygen."""

    value: str
    question: Question
    scope: Scope
    said: Mapping[str, Sequence[float | None]]  #: by source, period by period


def _asked(stack: Stack, pack: Pack, channel: str, period_s: int, run: Run) -> Iterator[_Asked]:
    registered = stack.channel(channel)
    for place, value in enumerate((MEASURED, CORRECTED)):
        said = {source: [by.get(source, (None, None))[place] for by in run.values] for source in SOURCES}
        numbers = [number for series in said.values() for number in series if number is not None]
        if not numbers:
            continue
        base = _base(pack, stack, channel) if value == CORRECTED else None
        question = Question(
            channel=channel,
            period_s=period_s,
            starts=np.array(run.starts, dtype=np.int64),
            base_o2=base,
            averaging=pack.averaging,
            digits=digits_of(numbers),
        )
        scope = Scope(
            period_s=period_s,
            interval_s=stack.interval_s,
            corrected=base is not None,
            wet=registered.wet,
            actual=registered.actual_state,
            ppm=registered.unit == "ppm",
            bases=[other for other in _known_bases() if other != base],
        )
        yield _Asked(value=value, question=question, scope=scope, said=said)


def _beside(rows: Rows, stack: Stack, asked: _Asked) -> Iterator[dict[str, Any]]:
    by_source = {
        source: reconcile(rows, stack, asked.question, asked.scope, said) for source, said in asked.said.items()
    }
    for ours, platform in zip(by_source[LOGGER], by_source[PLATFORM], strict=True):
        yield {
            "start": utc_text(instant(ours.start)),
            "interval_s": asked.question.period_s,
            "channel": asked.question.channel,
            "value": asked.value,
            "unit": UNITS.get(asked.question.channel, ""),
            "ours": ours.ours,
            "valid_minutes": ours.valid_minutes,
            "reported": _said(ours),
            "platform": _said(platform),
        }


def _said(line: Line) -> dict[str, Any] | None:
    if line.reported is None:
        return None
    return {
        "value": line.reported,
        "difference": line.difference,
        "digits": line.digits,
        "explained": line.explained,
        "causes": list(line.causes),
        "ways": [_way(found) for found in line.explanations],
    }


def _way(found: Explanation) -> dict[str, Any]:
    deviations = {name: getattr(found.way, name) for name in found.way.deviations}
    return {"causes": list(found.causes), "deviations": deviations, "periods": found.periods}


def _base(pack: Pack, stack: Stack, channel: str) -> float | None:
    """The base oxygen of the channel here; None where there is none, or its number is not established."""
    rule = governing(pack, stack).get(channel)
    if rule is None or stack.channel(channel).corrected:
        return None
    try:
        return rule.outlet.base_oxygen()
    except UnsetFigure:
        return None


def _known_bases() -> list[float]:
    """Every base oxygen of any pack: what a logger may have been set to. [vol %]"""
    outlets = (outlet for pack in all_packs().values() for outlet in pack.outlets.values())
    return sorted({outlet.base_o2_vol_pct for outlet in outlets if outlet.base_o2_vol_pct is not None})


def _no_rows() -> Rows:
    none = np.array([], dtype=np.int64)
    return Rows(
        sampled_at=none,
        interval_s=none,
        not_running=none.astype(bool),
        values={},
        flags={},
        row_flag=none.astype(np.uint8),
    )
