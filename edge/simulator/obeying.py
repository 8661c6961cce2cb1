"""Orders as they act on the units of a simulated works: from when, until when, and never on what has passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from edge.simulator.activity import Effect

Asked = Mapping[tuple[str, str, float | None], tuple[datetime | None, datetime | None]]
"""By unit, mode and value, from when and until when an order wants it."""


def obeyed(effects: Sequence[Effect], asked: Asked, *, now_ms: int, step_ms: int) -> tuple[Effect, ...]:
    """*effects* once the orders *asked* are in force and all others are not; what is past stays as it was."""
    wanted = dict(asked)
    after = []
    for effect in effects:
        if effect.until_ms is None or effect.until_ms > now_ms:
            times = wanted.pop((effect.unit, effect.mode, effect.value), None)
            ends_ms = _step(times[1], step_ms) if times else now_ms
            effect = replace(effect, until_ms=None if ends_ms is None else max(now_ms, ends_ms))
        after.append(effect)
    for (unit, mode, value), (since, until) in wanted.items():
        since_ms = max(now_ms, _step(since, step_ms) or now_ms)
        after.append(Effect(unit=unit, mode=mode, value=value, since_ms=since_ms, until_ms=_step(until, step_ms)))
    # An order that ends before it begins to act never acted.
    return tuple(effect for effect in after if effect.until_ms is None or effect.until_ms > effect.since_ms)


def _step(moment: datetime | None, step_ms: int) -> int | None:
    """The whole step that *moment* lies in."""
    return None if moment is None else int(moment.timestamp() * 1000) // step_ms * step_ms
