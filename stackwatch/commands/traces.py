"""What the command line says of a recorded file, for `replay` and for `import`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge.stamps import parse_shift, parse_step, parse_time, parse_zone
from edge.trace import ReplayPlan, parse_mapping, plan_replay
from plant.errors import BadDocument, Fault

T = TypeVar("T")
Text = TypeVar("Text")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """The options as they were written."""

    mapping: Sequence[str] = ()
    units: Sequence[str] = ()
    start: str | None = None
    step: str | None = None
    shift: str | None = None
    zone: str | None = None
    interval_s: int | None = None
    instrument: str | None = None


async def plan_of(
    file: Path, options: TraceOptions, *, site: str, stack: str, speed: float | None = None
) -> ReplayPlan:
    """A checked plan; says on stderr which columns are left out. `BadDocument` with every fault."""
    faults: list[Fault] = []
    mapping = _parsed(faults, parse_mapping, options.mapping)
    units = _parsed(faults, lambda pairs: parse_mapping(pairs, "unit", "CHANNEL=UNIT"), options.units)
    start, step_ms = _parsed(faults, parse_time, options.start), _parsed(faults, parse_step, options.step)
    shift_ms, zone = _parsed(faults, parse_shift, options.shift), _parsed(faults, parse_zone, options.zone)
    if faults:
        raise BadDocument("arguments", faults)
    plan = await asyncio.to_thread(
        plan_replay,
        file,
        site=site,
        stack=stack,
        mapping=mapping,
        units=units,
        start=start,
        step_ms=step_ms,
        shift_ms=shift_ms,
        zone=zone,
        speed=speed,
        interval_s=options.interval_s,
        instrument=options.instrument,
    )
    if plan.left_out:
        print(f"left out: {', '.join(plan.left_out)} (name them with --map COLUMN=CHANNEL)", file=sys.stderr)
    return plan


def _parsed(faults: list[Fault], parse: Callable[[Text], T], text: Text | None) -> T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except BadDocument as error:
        faults.extend(error.faults)
        return None
