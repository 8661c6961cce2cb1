"""One Modbus line, by pymodbus: opened, read one request at a time, closed. Nothing here can write to a device.

The library's own reconnection is off: who keeps the line decides when it is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from edge.modbus.registers import BITS
from edge.modbus.requests import Request
from edge.modbus.tables import LinePlan, Network, Serial
from plant.errors import Unavailable

Client = AsyncModbusTcpClient | AsyncModbusSerialClient
Read = Callable[..., Awaitable[ModbusPDU]]

_EXCEPTIONS: Final[Mapping[int, str]] = {
    1: "illegal_function",
    2: "illegal_address",
    3: "illegal_value",
    4: "device_failure",
    5: "acknowledge",
    6: "device_busy",
    7: "negative_acknowledge",
    8: "memory_parity_error",
    10: "gateway_path_unavailable",
    11: "gateway_no_response",
}
"""Modbus Application Protocol 1.1b3, 7."""
_BEHIND_GATEWAY: Final = (10, 11)  # the gateway answers for a device that does not


class Silent(Exception):
    """The device did not answer. Leave it alone for a while; its neighbours are not concerned."""


class Refused(Exception):
    """The device answered that it will not give this; `why` is a word to count by."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Line:
    """An open line. One request at a time: its user must not read twice at once."""

    def __init__(self, plan: LinePlan, client: Client) -> None:
        self._plan = plan
        self._client = client
        self._reads: Mapping[str, Read] = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }

    async def read(self, unit_id: int, request: Request) -> Sequence[int]:
        """The words, or bits, of *request*.

        Raises
        ------
        Silent, Refused
            As they say.
        Unavailable
            If the line itself is gone.
        """
        if self._plan.pause_s:
            await asyncio.sleep(self._plan.pause_s)
        answer = await self._answer(unit_id, request)
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            why = _EXCEPTIONS.get(code, f"exception_{code}")
            raise Silent(why) if code in _BEHIND_GATEWAY else Refused(why)
        words: Sequence[int] = answer.bits if request.space in BITS else answer.registers
        if len(words) < request.count or (request.space not in BITS and len(words) > request.count):
            raise Refused("answer_of_wrong_length")
        return [int(word) for word in words[: request.count]]

    async def _answer(self, unit_id: int, request: Request) -> ModbusPDU:
        if not self._client.connected:
            raise Unavailable(f"{self._plan} closed the connection")
        try:
            return await self._reads[request.space](request.address, count=request.count, device_id=unit_id)
        except ConnectionException as error:
            raise Unavailable(f"{self._plan} closed the connection") from error
        except ModbusException as error:
            await self._let_late_answers_pass()
            raise Silent("no_answer") from error

    async def _let_late_answers_pass(self) -> None:
        """RTU frames do not say which request they answer: one that is late must not be taken for the next."""
        if self._plan.rtu:
            await asyncio.sleep(self._plan.timeout_s)


@asynccontextmanager
async def open_line(plan: LinePlan) -> AsyncIterator[Line]:
    """The line of *plan* while it is entered; `Unavailable` where it cannot be opened."""
    client = _client(plan)
    try:
        # ValueError: a serial port that does not know these settings
        with contextlib.suppress(OSError, ValueError, ModbusException):
            await client.connect()
        if not client.connected:
            raise Unavailable(f"{plan} cannot be opened")
        yield Line(plan, client)
    finally:
        client.close()


def _client(plan: LinePlan) -> Client:
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it tells there what we count by kind
    match plan.place:
        case Network(host=host, port=port, rtu=rtu):
            return AsyncModbusTcpClient(
                host,
                port=port,
                framer=FramerType.RTU if rtu else FramerType.SOCKET,
                timeout=plan.timeout_s,
                retries=plan.retries,
                reconnect_delay=0,
            )
        case Serial() as serial:
            return AsyncModbusSerialClient(
                serial.device,
                baudrate=serial.baud,
                parity=serial.parity,
                stopbits=serial.stop_bits,
                handle_local_echo=serial.echo,
                timeout=plan.timeout_s,
                retries=plan.retries,
                reconnect_delay=0,
            )
