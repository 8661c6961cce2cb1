"""From what was read at one instant to the rows that travel: one measurement row, and one row for each signal.

Missing data is missing: where nothing at all was read there is no row. Where a part was read, the rest is null with the
flag `B`; so is a value whose status word could not be read, which keeps its number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.fieldbus.claims import OVER_RANGE, UNREAD, Claims
from edge.fieldbus.groups import A, Group, Point
from edge.sources import Row


@dataclass(frozen=True, slots=True)
class Heard:
    """A number as it stood on the bus, None where the bus says that there is none; *flag* is what the bus says."""

    raw: float | None
    flag: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    measurements: tuple[Row, ...] = ()
    signals: tuple[Row, ...] = ()


def rows_of(group: Group[A], at_ms: int, heard: Mapping[A, Heard], tolerated: Counter[str]) -> Rows:
    """The rows of *group* at *at_ms*; what was null or unknown is counted in *tolerated*."""
    if not any(address in heard for address in group.addresses):
        return Rows()
    claims = _claims(group, heard, tolerated)
    read = [(point, _value(point, heard.get(point.address), tolerated)) for point in group.points]
    measurement = _measurement(group, at_ms, claims, [pair for pair in read if not pair[0].signal])
    signals = [_signal(group, at_ms, claims, p, value) for p, value in read if p.signal and p.address in heard]
    return Rows(measurement, tuple(signals))


def _claims(group: Group[A], heard: Mapping[A, Heard], tolerated: Counter[str]) -> Claims:
    claims = Claims()
    for status in group.statuses:
        found = heard.get(status.address)
        number = _whole(found)
        if number is None:
            tolerated["status_unread"] += 1
            claims.add(status.word.of, UNREAD)
            continue
        said = status.word.says(number)
        if said is None:
            tolerated["status_unknown"] += 1
        claims.add(status.word.of, said or ())
    return claims


def _whole(found: Heard | None) -> int | None:
    """The number of a status word; None where it is none: a float of a server may hold one too."""
    if found is None or found.raw is None or not math.isfinite(found.raw) or found.raw != int(found.raw):
        return None
    return int(found.raw)


Value = tuple[float | None, tuple[str, ...]]
"""A number or null, and the flags that its own reading gives it."""


def _value(point: Point[Any], found: Heard | None, tolerated: Counter[str]) -> Value:
    if found is None:
        return None, (UNREAD,)
    flags: tuple[str, ...] = () if found.flag is None else (found.flag,)
    if found.raw is None:
        return None, flags
    value, why = point.scaling.apply(found.raw)
    if why is not None:
        tolerated[why] += 1
    elif point.scaling.is_over_range(found.raw):
        flags += (OVER_RANGE,)
    return value, flags


def _measurement(
    group: Group[A], at_ms: int, claims: Claims, values: Sequence[tuple[Point[A], Value]]
) -> tuple[dict[str, Any], ...]:
    if not values:
        return ()
    row: dict[str, Any] = {"stack": group.stack, "sampled_at": at_ms, "interval_s": group.interval_s}
    if group.instrument is not None:
        row["instrument"] = group.instrument
    row["flag"] = claims.of_row(group.precedence)
    letters = {p.name: claims.of_channel(group.precedence, p.name, own) for p, (_, own) in values}
    flags = {name: letter for name, letter in letters.items() if letter != row["flag"]}
    if flags:
        row["flags"] = flags
    state = claims.state()
    if state is not None:
        row["state"] = state
    row.update((point.name, value) for point, (value, _) in values)
    return (row,)


def _signal(group: Group[A], at_ms: int, claims: Claims, point: Point[A], value: Value) -> dict[str, Any]:
    number, own = value
    row: dict[str, Any] = {"sampled_at": at_ms, "signal": point.name, "value": number}
    row.update((key, code) for key, code in (("unit", point.unit), ("stack", point.stack)) if code is not None)
    row["flag"] = claims.of_signal(group.precedence, point.name, own)
    return row
