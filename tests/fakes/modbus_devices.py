"""Devices on a Modbus line, by pymodbus's own server: over TCP, or over a pair of pseudo terminals."""

from __future__ import annotations

import asyncio
import logging
import os
import tty
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SIZE = 64


class Device:
    """A unit with 64 of everything. What is asked of it is noted in `asked`: function, address, count."""

    def __init__(self, unit_id: int, holding: Mapping[int, int], *, bits: Mapping[int, bool] | None = None) -> None:
        self.unit_id = unit_id
        self.holding = dict(holding)
        self.bits = dict(bits or {})
        self.refuse: dict[int, ExcCodes] = {}  # by first address of a request
        self.delay_s = 0.0
        self.delay_at_s: dict[int, float] = {}  # by first address of a request
        self.asked: list[tuple[int, int, int]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def act(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: Any
    ) -> ExcCodes | None:
        self.asked.append((function, address, count))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_at_s.get(address, self.delay_s))
        self.at_once -= 1
        if function in (3, 4):
            for at, word in self.holding.items():
                registers[at - start] = word
        return self.refuse.get(address)

    def simulated(self) -> SimDevice:
        bits = [self.bits.get(at, False) for at in range(SIZE)]
        flags = SimData(0, values=bits, datatype=DataType.BITS)
        words = SimData(0, count=SIZE, values=0, datatype=DataType.REGISTERS)
        return SimDevice(id=self.unit_id, simdata=([flags], [flags], [words], [words]), action=self.act)


@asynccontextmanager
async def over_tcp(*devices: Device, port: int = 0, rtu: bool = False) -> AsyncIterator[int]:
    """The port at which *devices* answer; others keep silent."""
    _quiet()
    server = ModbusTcpServer(
        [device.simulated() for device in devices],
        framer=FramerType.RTU if rtu else FramerType.SOCKET,
        address=("127.0.0.1", port),
        trace_packet=_only(devices, place_of_unit_id=0 if rtu else 6),
    )
    await server.serve_forever(background=True)
    try:
        yield cast(Any, server.transport).sockets[0].getsockname()[1]
    finally:
        await cast(Any, server).shutdown()


@asynccontextmanager
async def over_serial(*devices: Device) -> AsyncIterator[str]:
    """The serial port of a line on which *devices* answer; others keep silent."""
    _quiet()
    with serial_line() as (ours, theirs):
        server = ModbusSerialServer(
            [device.simulated() for device in devices],
            port=theirs,
            baudrate=115_200,
            trace_packet=_only(devices, place_of_unit_id=0),
        )
        await server.serve_forever(background=True)
        try:
            yield ours
        finally:
            await cast(Any, server).shutdown()


@contextmanager
def serial_line() -> Iterator[tuple[str, str]]:
    """The two ends of a cable: what is written to one is read from the other."""
    loop = asyncio.get_running_loop()
    (first, first_end), (second, second_end) = os.openpty(), os.openpty()
    for descriptor in (first, second, first_end, second_end):
        tty.setraw(descriptor)
    loop.add_reader(first, lambda: os.write(second, os.read(first, 4096)))
    loop.add_reader(second, lambda: os.write(first, os.read(second, 4096)))
    try:
        yield os.ttyname(first_end), os.ttyname(second_end)
    finally:
        loop.remove_reader(first)
        loop.remove_reader(second)
        for descriptor in (first, second, first_end, second_end):
            os.close(descriptor)


def _only(devices: Sequence[Device], *, place_of_unit_id: int) -> Callable[[bool, bytes], bytes]:
    """The server answers for devices that are not there; such answers are lost on the way."""
    there = {device.unit_id for device in devices}
    return lambda sending, data: data if not sending or data[place_of_unit_id] in there else b""


def _quiet() -> None:
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
