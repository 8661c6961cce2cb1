"""A group of process values that are one row at each instant of its interval: what a table of it says.

    [[modbus.group]]                    [[opcua.group]]
    stack = "DA001"                     of its channels
    instrument = "main"                 left out: the contract's default
    interval_s = 10
      [[modbus.group.channel]]          channel, where it is read, scale, offset, valid, not_available
      [[modbus.group.signal]]           signal, where it is read, unit or stack, scale, ...
      [[modbus.group.status]]           where it is read, and what it claims (`edge.fieldbus.claims`)

Where a value is read differs from bus to bus; that is the type parameter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from edge.fieldbus.claims import PRECEDENCE, StatusWord, read_precedence, read_status_word
from edge.fieldbus.scaling import Scaling, read_scaling
from plant.channels import CHANNELS, FLAGS
from plant.reading import Reader

A = TypeVar("A")
"""Where a value is read on its bus; hashable."""

_DAY_S: Final = 86_400
LONGEST_NAME: Final = 64
_COLUMNS: Final = frozenset(
    {"kind", "schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at", "stack", "sampled_at"}
    | {"interval_s", "flag", "flags", "state", "instrument", "revision"}
)
"""Columns of a frame that are no channel (contract, section 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Generic[A]):
    """One value: a channel of its group's stack, or a signal."""

    name: str
    address: A
    scaling: Scaling
    signal: bool = False
    unit: str | None = None  #: of a signal
    stack: str | None = None  #: of a signal


@dataclass(frozen=True, slots=True)
class Status(Generic[A]):
    address: A
    word: StatusWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Generic[A]):
    stack: str | None
    instrument: str | None
    interval_s: int
    points: tuple[Point[A], ...]
    statuses: tuple[Status[A], ...] = ()
    precedence: str = PRECEDENCE

    @property
    def interval_ms(self) -> int:
        return self.interval_s * 1000

    @property
    def addresses(self) -> list[A]:
        """Each once, in the order of the file."""
        return list(dict.fromkeys([*(p.address for p in self.points), *(s.address for s in self.statuses)]))


def read_group(
    table: Reader, points: Reader, of_point: Callable[[Reader], A], of_status: Callable[[Reader], A]
) -> Group[A]:
    """The group of *table*. *points* holds its channels, signals and status words: the same, or a file of its own."""
    found = (*_channels(points, of_point), *_signals(points, of_point))
    statuses = tuple(_statuses(points, of_status, {point.name for point in found}))
    group = Group(
        stack=table.identifier("stack") if "stack" in table else None,
        instrument=table.identifier("instrument") if "instrument" in table else None,
        interval_s=_interval(table),
        points=found,
        statuses=statuses,
        precedence=read_precedence(points),
    )
    if not found:
        points.fault("", "reads nothing: write a channel or a signal")
    if group.stack is None and any(not point.signal for point in found):
        table.fault("stack", "is required: whose channels these are")
    return group


def check_groups(groups: Iterable[tuple[Reader, Group[A]]]) -> None:
    """Fault groups that would give the same row, or the same signal, twice."""
    rows: set[tuple[str | None, str | None]] = set()
    signals: set[tuple[str, str | None, str | None]] = set()
    for table, group in groups:
        if any(not point.signal for point in group.points):
            key = group.stack, group.instrument
            if key in rows:
                table.fault(
                    "", f"overlaps: another group gives the rows of {group.stack!r}; join them, or name an instrument"
                )
            rows.add(key)
        for point in group.points:
            if point.signal:
                identity = point.name, point.unit, point.stack
                if identity in signals:
                    table.fault("", f"overlaps: signal {point.name!r} of the same unit or stack is read twice")
                signals.add(identity)


def _interval(table: Reader) -> int:
    """A row belongs to the minute it starts in, so intervals share the grid of minutes and days."""
    interval_s = table.whole("interval_s", 10, low=1, high=3600)
    if (60 % interval_s and interval_s % 60) or _DAY_S % interval_s:
        table.fault("interval_s", f"must divide a minute, or be minutes that divide a day; got {interval_s}")
        return 10
    return interval_s


def _channels(points: Reader, address_of: Callable[[Reader], A]) -> Iterable[Point[A]]:
    seen: set[str] = set()
    for table in points.tables("channel"):
        name = _name(table, "channel")
        other = table.boolean("other", False)
        if name in _COLUMNS:
            table.fault("channel", f"{name!r} is a column of every row, no channel")
        elif name not in CHANNELS and not other:
            table.fault("channel", f"{name!r} is none of {' '.join(CHANNELS)}; if it is meant so, write other = true")
        if name in seen:
            table.fault("channel", f"{name!r} is read twice")
        seen.add(name)
        point = Point(name=name, address=address_of(table), scaling=read_scaling(table))
        table.finish()
        yield point


def _signals(points: Reader, address_of: Callable[[Reader], A]) -> Iterable[Point[A]]:
    for table in points.tables("signal"):
        point = Point(
            name=_name(table, "signal"),
            address=address_of(table),
            scaling=read_scaling(table),
            signal=True,
            unit=table.identifier("unit") if "unit" in table else None,
            stack=table.identifier("stack") if "stack" in table else None,
        )
        table.finish()
        yield point


def _name(table: Reader, key: str) -> str:
    name = table.text(key)
    if len(name) > LONGEST_NAME or not name.isprintable():
        table.fault(key, f"must be at most {LONGEST_NAME} printable characters")
    return name


def _statuses(points: Reader, address_of: Callable[[Reader], A], names: set[str]) -> Iterable[Status[A]]:
    for table in points.tables("status"):
        word = read_status_word(table)
        for name in word.of:
            if name not in names:
                table.fault("of", f"{name!r} is no channel or signal of this group")
        status = Status(address_of(table), word)
        table.finish()
        yield status


assert set(PRECEDENCE) == FLAGS
