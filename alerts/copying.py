"""The hours that an episode stands on, as they are copied into its evidence.

Of a long one the hours until it fired and the last ones: what it was found on, and how it went on. Hours that the
history no longer reaches stay as they were copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from alerts.lives import Episode, text
from alerts.rules.history import History, VerdictHours
from plant.periods import HOUR
from plant.readings import Values

BEFORE_H: Final = 24  #: up to and with the hour that made it fire
LAST_H: Final = 24  #: up to and with its last found hour
BLOCKS_OF: Final = frozenset({"sibling_identity"})  #: who looks at the digests of ten minutes; they are a third of it

Copied = Mapping[str, Any]
"""One hour: `start`, and what the history has of it, by name; what it has no number for is left out."""


def copied_hours(history: History, episode: Episode, before: Iterable[Copied] = ()) -> list[Copied]:
    """The hours of *episode*, oldest first; *before* is what was copied earlier."""
    last = episode.period_end - HOUR
    wanted = {
        *range(episode.fired_at - (BEFORE_H - 1) * HOUR, episode.fired_at + HOUR, HOUR),
        *range(max(last - (LAST_H - 1) * HOUR, episode.fired_at), last + HOUR, HOUR),
    }
    first = int(history.start[0]) if history.n_hours else history.now
    names = {text(start) for start in wanted}
    kept = {hour["start"]: hour for hour in before if hour["start"] in names}
    blocks = episode.series.rule in BLOCKS_OF
    for start in wanted:
        place = (start - first) // HOUR
        if 0 <= place < history.n_hours:
            kept[text(start)] = _hour(history, place, blocks=blocks)
    return [kept[name] for name in sorted(kept)]


def _hour(history: History, place: int, *, blocks: bool) -> Copied:
    channels = {
        _name(key): numbers for key, features in history.channels.items() if (numbers := _numbers(features, place))
    }
    if not blocks:
        channels = {
            key: {name: number for name, number in numbers.items() if not name.startswith("block")}
            for key, numbers in channels.items()
        }
    siblings = history.siblings if blocks else {}
    parts: dict[str, Any] = {
        "outlet": _numbers(history.outlet, place),
        "channels": channels,
        "verdicts": {
            _name(key): judged for key, hours in history.verdicts.items() if (judged := _judged(hours, place))
        },
        "signals": _numbers({_name(key): values for key, values in history.signals.items()}, place),
        "reported": _numbers({_name(key): values for key, values in history.reported.items()}, place),
        "conflicts": {key: int(counts[place]) for key, counts in history.conflicts.items() if counts[place]},
        "siblings": {
            _name(key): numbers for key, features in siblings.items() if (numbers := _numbers(features, place))
        },
    }
    start = int(history.start[place])
    return {"start": text(start), **{name: part for name, part in parts.items() if part}}


def _judged(hours: VerdictHours, place: int) -> dict[str, Any]:
    if hours.verdict[place] is None:
        return {}
    numbers = {name: getattr(hours, name) for name in ("corrected", "limit", "mean", "o2", "mass_kg")}
    return {
        "verdict": str(hours.verdict[place]),
        "reason": str(hours.reason[place]),
        **_numbers(numbers, place),
        "valid_minutes": int(hours.valid_minutes[place]),
        "claimed": bool(hours.claimed[place]),
        "revision": int(hours.revision[place]),
    }


def _numbers(features: Mapping[str, Values], place: int) -> dict[str, float]:
    found = {name: float(values[place]) for name, values in features.items()}
    return {name: number for name, number in found.items() if math.isfinite(number)}


def _name(key: tuple[str, ...]) -> str:
    return "/".join(key)
