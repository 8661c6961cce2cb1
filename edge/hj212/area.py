"""The data area of a packet: items `name=value`, those of one thing joined by commas, things by semicolons (4.1).

An area that is as it should be is taken by `str.split`; any other is read item by item, which knows the place of each.
Both give the same values. Text between `//` and `//` (the log of 3020) may hold separators and stays as it is. What an
item means is left to `edge.hj212.messages` and `edge.hj212.rows`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.hj212.faults import FaultKind, Notes
from edge.hj212.segment import Group, Value
from edge.hj212.times import epoch_ms

_GROUP: Final = r"([^-=,;]++)(?:-[^=,;]++)?+=[^=,;]*+(?:,\1-[^=,;]++=[^=,;]*+)*+"
_TIDY: Final = re.compile(rf"(?:{_GROUP}(?:;(?!\Z)|\Z))++")
"""Groups of one thing each; that none of them stands twice is checked apart."""
_CODE: Final = re.compile(r"(?:\A|;)([^-=,;]+)")
_ITEM: Final = re.compile(r"([^;,=]*)(?:(=)(//.{0,950}?//\s*(?=[;,]|\Z)|[^;,]*))?", re.DOTALL)
_NOT_A_NUMBER: Final = re.compile(
    r"-(?:Zs)?(?:Rtd|Min|Avg|Max|Cou)=(?!\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*(?:[,;]|\Z))([^,;]*)"
)
_TIMES: Final = frozenset({"DataTime", "BeginTime", "EndTime"})
_TIME_DIGITS: Final = 14


def read_area(area: str, at: int, notes: Notes) -> tuple[Group, ...]:
    """The groups of *area*, which stands at *at* in the text of *notes*."""
    if not area:
        return ()
    groups = _split(area, at, notes)
    if groups is None:
        groups = _by_items(area, at, notes)
    for match in _NOT_A_NUMBER.finditer(area):
        notes.add(FaultKind.VALUE_MALFORMED, at + match.start(1), len(match[1]), f"{match[1][:40]!r} is no number")
    return tuple(groups)


def _thing(name: str) -> str:
    """What an item is about: `a21026` of `a21026-Rtd`; the whole name where it has no suffix."""
    return name.partition("-")[0]


# ---- as it should be ----


def _split(area: str, at: int, notes: Notes) -> Sequence[Group] | None:
    """The groups of an area that is as it should be, but for its times; None for any other."""
    if not area.isprintable() or " " in area or "//" in area or not _TIDY.fullmatch(area):
        return None
    codes = _CODE.findall(area)
    if len(set(codes)) < len(codes):
        return None
    groups: list[dict[str, str]] = [dict(item.split("=") for item in group.split(",")) for group in area.split(";")]
    if sum(map(len, groups)) < area.count("="):
        return None
    for time in _TIMES.intersection(codes):
        place = codes.index(time)
        if time in groups[place]:
            _check_time(time, groups[place][time], at + (0 if place == 0 else area.find(f";{time}") + 1), notes)
    return groups


# ---- item by item ----


@dataclass(slots=True)
class _Found:
    """A group being read: values and places by name."""

    values: dict[str, list[str | None]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def group(self) -> Group:
        return {name: values[0] if len(values) == 1 else _all(values) for name, values in self.values.items()}


def _all(values: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(value or "" for value in values)


def _by_items(area: str, at: int, notes: Notes) -> Sequence[Group]:
    found = [_Found()]
    for start, name, value, end in _items(area):
        if not name and value is None:
            notes.add(FaultKind.ITEM_EMPTY, at + start, 1, "a separator without an item before it")
        else:
            _put(found[-1], name, value, at + start, notes)
        if end == ";":
            found.append(_Found())
    found = [one for one in found if one.values]
    groups = [one.group() for one in found]
    _check_shape([one.places for one in found], groups, notes)
    return groups


def _items(area: str) -> Iterator[tuple[int, str, str | None, str]]:
    """Place, name, value and following separator of each item; nothing stands after a separator at the end."""
    at = 0
    while at < len(area):
        match = _ITEM.match(area, at)
        assert match is not None, "each of its parts may be empty"
        end = area[match.end() : match.end() + 1]
        yield at, match[1], match[3] if match[2] else None, end
        if end and match.end() + 1 == len(area):
            yield match.end() + 1, "", None, ""
        at = match.end() + 1


def _put(found: _Found, name: str, value: str | None, at: int, notes: Notes) -> None:
    tidy_name, tidy = "".join(name.split()), None if value is None else value.strip(" \t\r\n\0")
    if tidy_name != name or tidy != value:
        notes.add(FaultKind.BLANK, at, len(name) + len(value or "") + 1, "a blank in an item")
    if tidy is None:
        notes.add(FaultKind.ITEM_WITHOUT_VALUE, at, len(name), "an item without =")
    elif not tidy_name:
        notes.add(FaultKind.ITEM_WITHOUT_VALUE, at, len(name) + 1, "a value without a name")
    elif "=" in tidy and not tidy.startswith("//"):
        notes.add(FaultKind.VALUE_MALFORMED, at + len(name), len(value or ""), "a second = in an item")
    if tidy_name in found.values:
        notes.add(FaultKind.ITEM_DUPLICATE, at, len(name), f"{tidy_name[:40]} a second time in its group")
    found.values.setdefault(tidy_name, []).append(tidy)
    found.places.setdefault(tidy_name, at)


def _check_shape(places: Sequence[Mapping[str, int]], groups: Sequence[Group], notes: Notes) -> None:
    """One thing in a group, one group a thing, and times as they should be."""
    seen: set[str] = set()
    for at, group in zip(places, groups, strict=True):
        codes = {_thing(name) for name in group}
        if len(codes) > 1:
            words = f"{len(codes)} different things joined by commas"
            notes.add(FaultKind.GROUP_MIXED, next(iter(at.values())), 0, words)
        if not seen.isdisjoint(codes):
            name = next(name for name in group if _thing(name) in seen)
            notes.add(FaultKind.ITEM_SPLIT, at[name], len(name), f"{_thing(name)[:40]} in a second group")
        seen |= codes
        for name in _TIMES & group.keys():
            _check_time(name, group[name], at[name], notes)


def _check_time(name: str, value: Value, at: int, notes: Notes) -> None:
    if isinstance(value, str) and len(value) == _TIME_DIGITS and epoch_ms(value) is not None:
        return
    notes.add(FaultKind.DATA_TIME_MALFORMED, at, len(name), f"{name}: {str(value)[:40]!r} is no YYYYMMDDhhmmss")
