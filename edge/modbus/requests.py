"""Which requests read a set of registers: neighbours in one, within what the protocol and the device allow. No I/O.

Modbus Application Protocol 1.1b3, 6.1 to 6.4: at most 125 registers or 2000 bits a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge.modbus.registers import BITS, Register, decode

MOST_REGISTERS: Final = 125
MOST_BITS: Final = 2000


@dataclass(frozen=True, slots=True)
class Request:
    space: str
    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count

    def covers(self, register: Register) -> bool:
        return register.space == self.space and self.address <= register.address and register.end <= self.end


def plan_requests(registers: Iterable[Register], *, max_gap: int, max_registers: int) -> tuple[Request, ...]:
    """As few requests as cover *registers*, none with a gap above *max_gap* that nobody asked for."""
    requests: list[Request] = []
    for register in sorted(set(registers), key=lambda r: (r.space, r.address, r.end)):
        most = MOST_BITS if register.space in BITS else max_registers
        last = requests[-1] if requests else None
        end = 0 if last is None else max(last.end, register.end)
        if (
            last is not None
            and last.space == register.space
            and register.address - last.end <= max_gap
            and end - last.address <= most
        ):
            requests[-1] = Request(last.space, last.address, end - last.address)
        else:
            requests.append(Request(register.space, register.address, register.size))
    return tuple(requests)


def numbers_of(registers: Iterable[Register], answers: Mapping[Request, Sequence[int]]) -> dict[Register, float | None]:
    """The number of each of *registers* that an answer covers."""
    found: dict[Register, float | None] = {}
    for register in registers:
        for request, words in answers.items():
            if request.covers(register):
                at = register.address - request.address
                found[register] = decode(register, words[at : at + register.size])
                break
    return found
