"""A history as the numbers that are stored of each hour, and back. Pure.

An hour's numbers are a function of that hour alone: a channel stands in its layout where the hour saw anything of it.
So hours judged together or one by one are stored alike, and what differs has changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alerts.rules.history import VerdictHours
from plant.features import OUTLET, Features, names_of
from plant.periods import HOUR, Instants
from plant.readings import Counts, Truths, Values
from plant.verdicts import Reason, Verdict
from store.features import DigestRun, HourDigest

Names = Mapping[str, Any]  #: of a layout, as JSON holds it
Channel = tuple[str, str]  #: (instrument, channel)
Series = tuple[str, str]  #: (pack, pollutant)
Table = npt.NDArray[np.float64]  #: shape (figures, n_hours)

BLOCK: Final = "block"
FIGURES: Final = (
    "verdict",
    "reason",
    "corrected",
    "limit",
    "mean",
    "o2",
    "mass_kg",
    "valid_minutes",
    "claimed",
    "revision",
)
_NUMBERS: Final = FIGURES[2:7]
_VERDICTS: Final = tuple(Verdict)
_REASONS: Final = tuple(Reason)
_VERDICT_CODES, _REASON_CODES = (
    {None: math.nan} | {member: float(code) for code, member in enumerate(members)} for members in (_VERDICTS, _REASONS)
)
_EMPTY_OUTLET: Final = {"gap_s": 3600.0, "lead_gap_s": 3600.0, "tail_gap_s": 3600.0}  # of an hour without rows


@dataclass(frozen=True, slots=True)
class Layout:
    """What the numbers of an hour are, in their order."""

    channels: tuple[Channel, ...]
    series: tuple[Series, ...]

    def names(self) -> Names:
        return {
            "outlet": OUTLET,
            "channels": [[*channel, _split(channel[1])[0]] for channel in self.channels],
            "blocks": [[*channel, blocks] for channel in self.channels if (blocks := _split(channel[1])[1])],
            "series": self.series,
            "figures": FIGURES,
        }


@cache
def layout_id(layout: Layout) -> int:
    text = json.dumps(layout.names(), separators=(",", ":"))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


@cache
def _split(channel: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The features of *channel*, and those of them that are blocks."""
    names = names_of(channel)
    blocks = tuple(name for name in names if name.startswith(BLOCK))
    return tuple(name for name in names if name not in blocks), blocks


def told(features: Features) -> Truths:
    """The hours of which anything is known: a row reaches into them, or a process value came."""
    seen: Truths = features.outlet["covered_s"] > 0
    for of in features.channels.values():
        seen = seen | ~np.isnan(of["mean"])
    return seen


def digests_of(
    start: Instants, features: Features, verdicts: Mapping[Series, VerdictHours], places: Iterable[int]
) -> tuple[list[HourDigest], dict[int, Names]]:
    """The numbers of the hours at *places*, and their layouts."""
    channels = sorted(features.channels)
    series = tuple(sorted(verdicts))
    tables = [np.stack([features.channels[at][name] for name in names_of(at[1])]) for at in channels]
    there: list[Truths] = [np.asarray(~np.isnan(table).all(axis=0)) for table in tables]
    outlet = np.stack([np.asarray(features.outlet[name], dtype=np.float64) for name in OUTLET])
    judged = _stack([_figures(verdicts[key]) for key in series], start.size)
    patterns: dict[tuple[bool, ...], list[int]] = {}
    for place in places:
        patterns.setdefault(tuple(bool(seen[place]) for seen in there), []).append(place)
    digests, layouts = [], {}
    for pattern, of in patterns.items():
        layout = Layout(tuple(at for at, seen in zip(channels, pattern, strict=True) if seen), series)
        seen_tables = [(at[1], table) for at, table, seen in zip(channels, tables, pattern, strict=True) if seen]
        values = [table[: len(_split(name)[0])] for name, table in seen_tables]
        blocks = [table[len(_split(name)[0]) :] for name, table in seen_tables]
        layouts[layout_id(layout)] = layout.names()
        parts = [_rows(_stack([outlet, *values], start.size), of), _rows(_stack(blocks, start.size), of)]
        for place, *bodies in zip(of, *parts, _rows(judged, of), strict=True):
            digests.append(HourDigest(int(start[place]), layout_id(layout), *bodies))
    return digests, layouts


def _stack(tables: Sequence[Table], n_hours: int) -> Table:
    return np.concatenate(tables) if tables else np.zeros((0, n_hours))


def _rows(table: Table, places: Sequence[int]) -> list[bytes]:
    """One string of bytes for each of *places*."""
    hours = np.ascontiguousarray(table[:, places].T, dtype="<f8")
    return [hour.tobytes() for hour in hours]


def _figures(hours: VerdictHours) -> Table:
    figures = [_codes(hours.verdict, _VERDICT_CODES), _codes(hours.reason, _REASON_CODES)]
    figures += [getattr(hours, name) for name in _NUMBERS]
    return np.stack([*figures, hours.valid_minutes, hours.claimed, hours.revision]).astype(np.float64)


def _codes(values: npt.NDArray[np.object_], codes: Mapping[Any, float]) -> Values:
    return np.array([codes[value] for value in values.tolist()], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of hours in a row, as a history has it; arrays of shape (n_hours,)."""

    outlet: Mapping[str, Values]
    channels: Mapping[Channel, Mapping[str, Values]]
    verdicts: Mapping[Series, VerdictHours]


def stored(digests: Sequence[DigestRun], layouts: Mapping[int, Names], *, first: int, n_hours: int) -> Stored:
    """The hours from the instant *first*; of an hour without numbers all is as if it had no row."""
    values, by_value = _filled("features", digests, layouts, first, n_hours)
    blocks, by_block = _filled("blocks", digests, layouts, first, n_hours)
    judged, by_figure = _filled("verdicts", digests, layouts, first, n_hours)
    outlet = {name: np.full(n_hours, np.nan) for name in OUTLET}
    channels: dict[Channel, dict[str, Values]] = {}
    for table, keys in ((values, by_value), (blocks, by_block)):
        for row, (instrument, channel, name) in zip(table, keys, strict=True):
            if instrument:
                channels.setdefault((instrument, channel), {})[name] = row
            else:
                outlet[name] = row
    for name, column in outlet.items():
        column[np.isnan(column)] = _EMPTY_OUTLET.get(name, 0.0)
    series: dict[Series, dict[str, Values]] = {}
    for row, (pack, pollutant, figure) in zip(judged, by_figure, strict=True):
        series.setdefault((pack, pollutant), {})[figure] = row
    return Stored(outlet, channels, {key: _hours(of) for key, of in series.items()})


def stored_blocks(
    digests: Sequence[DigestRun], layouts: Mapping[int, Names], *, first: int, n_hours: int
) -> dict[Channel, dict[str, Values]]:
    """The blocks alone."""
    table, keys = _filled("blocks", digests, layouts, first, n_hours)
    found: dict[Channel, dict[str, Values]] = {}
    for row, (instrument, channel, name) in zip(table, keys, strict=True):
        found.setdefault((instrument, channel), {})[name] = row
    return found


Key = tuple[str, str, str]

_keys: dict[tuple[str, int], list[Key]] = {}  # by part and layout, which is named by its content


def _keys_of(part: str, layout: int, names: Names) -> list[Key]:
    """What the numbers of a *part* of a digest are, in their order."""
    if (part, layout) not in _keys:
        listed: dict[str, list[Key]] = {
            "features": [("", "", name) for name in names["outlet"]],
            "blocks": [(instrument, channel, name) for instrument, channel, of in names["blocks"] for name in of],
            "verdicts": [(pack, pollutant, name) for pack, pollutant in names["series"] for name in names["figures"]],
        }
        listed["features"] += [(instrument, channel, n) for instrument, channel, of in names["channels"] for n in of]
        _keys.update({(each, layout): keys for each, keys in listed.items()})
    return _keys[part, layout]


def _filled(
    part: str, digests: Sequence[DigestRun], layouts: Mapping[int, Names], first: int, n_hours: int
) -> tuple[Table, list[Key]]:
    """One row for each key that any of the hours has; NaN where an hour has it not."""
    bodies: list[tuple[DigestRun, bytes]] = [(run, body) for run in digests if (body := getattr(run, part))]
    index: dict[Key, int] = {}
    for layout in dict.fromkeys(run.layout for run, _ in bodies):
        for key in _keys_of(part, layout, layouts[layout]):
            index.setdefault(key, len(index))
    table = np.full((len(index), n_hours), np.nan)
    for run, body in bodies:
        keys = _keys_of(part, run.layout, layouts[run.layout])
        hours = np.frombuffer(body, dtype="<f8").reshape(run.starts.size, len(keys))
        _put(table, np.array([index[key] for key in keys]), (run.starts - first) // HOUR, hours)
    return table, list(index)


def _put(table: Table, rows: Counts, places: Counts, hours: Table) -> None:
    """*hours* has one row for each of *places*. Mostly both are all in a row, which spares a copy by index."""
    if _in_a_row(rows) and _in_a_row(places):
        table[rows[0] : rows[-1] + 1, places[0] : places[-1] + 1] = hours.T
    else:
        table[np.ix_(rows, places)] = hours.T


def _in_a_row(numbers: Counts) -> bool:
    return bool((np.diff(numbers) == 1).all())


def _hours(figures: Mapping[str, Values]) -> VerdictHours:
    there = ~np.isnan(figures["verdict"])
    return VerdictHours(
        verdict=_members(figures["verdict"], there, _VERDICTS),
        reason=_members(figures["reason"], there, _REASONS),
        valid_minutes=_whole(figures["valid_minutes"]),
        claimed=there & (figures["claimed"] == 1),
        revision=_whole(figures["revision"]),
        **{name: figures[name] for name in _NUMBERS},
    )


def _members(codes: Values, there: Truths, members: Sequence[str]) -> npt.NDArray[np.object_]:
    choices = np.array([*members, None], dtype=object)
    found: npt.NDArray[np.object_] = choices[np.where(there, codes, -1).astype(np.int64)]
    return found


def _whole(values: Values) -> npt.NDArray[np.int64]:
    return np.nan_to_num(values, nan=0.0).astype(np.int64)
