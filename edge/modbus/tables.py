"""What an agent file says about a Modbus line: how to reach it, and what to read from its devices.

[[modbus]]
host = "192.168.1.20"            or   serial = "/dev/ttyS1"   (with baud, parity, stop_bits, echo)
port = 502
framing = "tcp"                  "rtu" for a gateway that passes RTU frames through
timeout_s = 1.0
retries = 1
pause_ms = 0                     of silence between two requests
  [[modbus.group]]               `edge.fieldbus.groups`, and:
  unit_id = 1
  map = "gm32.toml"              a file with the tables below, for several devices of one make
  order = "ABCD"                 of numbers of more than a byte, where a channel says nothing else
  max_gap = 0                    registers that may be read in passing
  max_registers = 125            in one request
    [[modbus.group.channel]]     channel = "so2", read = "holding", address = 0, type = "float32"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from edge.fieldbus.groups import Group, check_groups, read_group
from edge.modbus.registers import ADDRESSES, BIT, BITS, ORDERS, REGISTERS, WHOLE, WORDS, Register
from edge.modbus.requests import MOST_REGISTERS, Request, plan_requests
from edge.sources import Context
from plant.reading import Reader

_GAP: Final = 0  # devices answer a range that holds an undefined register with an exception
_FEWEST: Final = max(WORDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Serial:
    device: str
    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    echo: bool = False  #: the adapter hears itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    host: str
    port: int = 502
    rtu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlan:
    """How a line is reached, and how long it may keep silent."""

    place: Serial | Network
    timeout_s: float = 1.0
    retries: int = 1
    pause_s: float = 0.0

    def __str__(self) -> str:
        return self.place.device if isinstance(self.place, Serial) else f"{self.place.host}:{self.place.port}"

    @property
    def rtu(self) -> bool:
        """Whether answers carry no number of the request they belong to."""
        return isinstance(self.place, Serial) or self.place.rtu


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A group of one device, and the requests that read it."""

    unit_id: int
    group: Group[Register]
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class ModbusPlan:
    line: LinePlan
    polls: tuple[Poll, ...]


def read_plan(table: Reader, context: Context) -> ModbusPlan:
    """What *table* says; faults are noted in it."""
    line = _line(table)
    polls: list[Poll] = []
    checked: list[tuple[Reader, Group[Register]]] = []
    for group_table in table.tables("group"):
        poll = _poll(group_table, context, serial=isinstance(line.place, Serial))
        polls.append(poll)
        checked.append((group_table, poll.group))
    check_groups(checked)
    if not polls:
        table.fault("group", "is required: what to read, such as [[modbus.group]]")
    return ModbusPlan(line, tuple(polls))


def _line(table: Reader) -> LinePlan:
    if ("serial" in table) == ("host" in table):
        table.fault("", "needs either serial (a port of this machine) or host")
    place = _serial(table) if "serial" in table else _network(table)
    return LinePlan(
        place=place,
        timeout_s=table.number("timeout_s", 1.0, low=0.05, high=60),
        retries=table.whole("retries", 1, low=0, high=10),
        pause_s=table.number("pause_ms", 0, low=0, high=10_000) / 1000,
    )


def _serial(table: Reader) -> Serial:
    return Serial(
        device=table.text("serial"),
        baud=table.whole("baud", 9600, low=300, high=4_000_000),
        parity=table.one_of("parity", ("N", "E", "O"), "N"),
        stop_bits=table.whole("stop_bits", 1, low=1, high=2),
        echo=table.boolean("echo", False),
    )


def _network(table: Reader) -> Network:
    return Network(
        host=table.text("host", "?"),
        port=table.whole("port", 502, low=1, high=65_535),
        rtu=table.one_of("framing", ("tcp", "rtu"), "tcp") == "rtu",
    )


def _poll(table: Reader, context: Context, *, serial: bool) -> Poll:
    points, from_file = _points(table, context)
    order = points.one_of("order", ORDERS, "ABCD")
    group = read_group(
        table, points, lambda item: _register(item, order, tuple(WORDS)), lambda item: _register(item, order, WHOLE)
    )
    _check_overlaps(points, group)
    poll = Poll(
        unit_id=table.whole("unit_id", 1, low=1 if serial else 0, high=247 if serial else 255),
        group=group,
        requests=plan_requests(
            group.addresses,
            max_gap=points.whole("max_gap", _GAP, low=0, high=MOST_REGISTERS),
            max_registers=points.whole("max_registers", MOST_REGISTERS, low=_FEWEST, high=MOST_REGISTERS),
        ),
    )
    if from_file:
        points.finish()
    table.finish()
    return poll


def _points(table: Reader, context: Context) -> tuple[Reader, bool]:
    """Where the channels of a group stand: in its table, or in the file that its `map` names."""
    if "map" not in table:
        return table, False
    name = table.text("map")
    return Reader(_file(table, context, name), f"{table.path('map')}({name})", table.faults), True


def _file(table: Reader, context: Context, name: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(context.file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        table.fault("map", f"cannot be read: {error}")
        return {"channel": []}


def _register(table: Reader, order: str, types: tuple[str, ...]) -> Register:
    space = table.one_of("read", (*REGISTERS, *BITS), "holding")
    address = table.whole("address", low=0, high=ADDRESSES - 1)
    if space in BITS:
        return Register(space=space, address=address, type=BIT)
    register = Register(
        space=space,
        address=address,
        type=table.one_of("type", types, "uint16"),
        order=table.one_of("order", ORDERS, order),
    )
    if register.end > ADDRESSES:
        table.fault("address", f"{address} leaves no room for {register.type}: the last register is {ADDRESSES - 1}")
    return register


def _check_overlaps(points: Reader, group: Group[Register]) -> None:
    """Two numbers that share a part of their registers: one of the addresses or types is wrong."""
    spans = sorted(group.addresses, key=lambda r: (r.space, r.address, r.end))
    for first, second in pairwise(spans):
        same_place = (first.address, first.end) == (second.address, second.end)
        if first.space == second.space and second.address < first.end and not same_place:
            points.fault(
                "",
                f"overlaps: {first.space} {first.address} ({first.type}) reaches into {second.address} ({second.type})",
            )
