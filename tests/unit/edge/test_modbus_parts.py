from __future__ import annotations

import inspect
import math
import re
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge.modbus
from edge.modbus.registers import BIT, BITS, ORDERS, WHOLE, WORDS, Register, decode
from edge.modbus.requests import MOST_BITS, Request, numbers_of, plan_requests

LAYOUTS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q"}
LAYOUTS |= {"float32": "f", "float64": "d"}


def a_register(type_: str, order: str = "ABCD", address: int = 0, space: str = "holding") -> Register:
    return Register(space=space, address=address, type=type_, order=order)


def laid(number: float, type_: str, order: str) -> list[int]:
    """The registers of a device that holds *number*, made the long way round."""
    data = list(struct.pack(f">{LAYOUTS[type_]}", number))
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [high << 8 | low for high, low in words]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        pytest.param("ABCD", (0x41F9, 0x999A), id="ABCD"),
        pytest.param("CDAB", (0x999A, 0x41F9), id="CDAB"),
        pytest.param("BADC", (0xF941, 0x9A99), id="BADC"),
        pytest.param("DCBA", (0x9A99, 0xF941), id="DCBA"),
    ],
)
def test_each_order_of_bytes_gives_the_float_that_a_device_laid_down(order: str, words: tuple[int, int]) -> None:
    assert decode(a_register("float32", order), words) == pytest.approx(31.2, abs=1e-6)  # 41F9999A is 31.2 (IEEE 754)


@pytest.mark.parametrize(
    ("type_", "words", "number"),
    [
        ("int16", (0xFFFE,), -2),
        ("uint16", (0xFFFE,), 65_534),
        ("int32", (0xFFFF, 0xFFFE), -2),
        ("uint32", (0x0001, 0x0000), 65_536),
        ("int64", (0, 0, 1, 0), 65_536),
        ("uint64", (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), 2**64 - 1),
        ("float64", (0x3FF8, 0, 0, 0), 1.5),
        ("bcd16", (0x1234,), 1_234),
        ("bcd32", (0x1234, 0x5678), 12_345_678),
        ("bcd16", (0x12A4,), None),
    ],
)
def test_each_type_gives_its_number(type_: str, words: tuple[int, ...], number: float | None) -> None:
    assert decode(a_register(type_), words) == number


@given(st.data(), st.sampled_from(sorted(LAYOUTS)), st.sampled_from(ORDERS))
def test_what_a_device_lays_down_is_read_back(data: st.DataObject, type_: str, order: str) -> None:
    number: float
    if type_.startswith("float"):
        floats = st.floats(width=32) if type_ == "float32" else st.floats()
        number = data.draw(floats.filter(math.isfinite))
    else:
        size = 8 * struct.calcsize(LAYOUTS[type_])
        low, high = (0, 2**size - 1) if type_.startswith("u") else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)
        number = data.draw(st.integers(low, high))
    words = laid(number, type_, order)
    assert len(words) == WORDS[type_]
    assert decode(a_register(type_, order), words) == number


@given(st.sampled_from(sorted(WORDS)), st.sampled_from(ORDERS), st.data())
def test_no_words_of_a_device_make_the_decoder_fail(type_: str, order: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=WORDS[type_], max_size=WORDS[type_]))
    number = decode(a_register(type_, order), words)
    assert number is None or isinstance(number, int | float)


def test_neighbours_are_read_in_one_request_and_a_gap_ends_it() -> None:
    registers = [a_register("float32", address=address) for address in (0, 2, 4, 10)]
    assert plan_requests(registers, max_gap=0, max_registers=125) == (
        Request("holding", 0, 6),
        Request("holding", 10, 2),
    )
    assert plan_requests(registers, max_gap=4, max_registers=125) == (Request("holding", 0, 12),)


def test_no_request_is_longer_than_the_device_allows() -> None:
    registers = [a_register("uint16", address=address) for address in range(300)]
    assert [r.count for r in plan_requests(registers, max_gap=0, max_registers=125)] == [125, 125, 50]
    bits = [a_register(BIT, address=address, space="coil") for address in range(2_001)]
    assert [r.count for r in plan_requests(bits, max_gap=0, max_registers=125)] == [MOST_BITS, 1]


a_set = st.lists(
    st.builds(
        lambda space, address, type_: a_register(BIT if space in BITS else type_, address=address, space=space),
        st.sampled_from(("holding", "input", "coil")),
        st.integers(0, 400),
        st.sampled_from(sorted(WORDS)),
    ),
    min_size=1,
    max_size=60,
)


@given(a_set, st.integers(0, 20), st.integers(4, 125))
def test_every_register_is_read_by_some_request_and_no_request_is_too_long(
    registers: list[Register], max_gap: int, max_registers: int
) -> None:
    requests = plan_requests(registers, max_gap=max_gap, max_registers=max_registers)
    assert all(any(request.covers(register) for request in requests) for register in registers)
    assert all(request.count <= (MOST_BITS if request.space in BITS else max_registers) for request in requests)
    for first, second in pairwise(requests):
        assert (first.space, first.address) <= (second.space, second.address)


def test_a_number_is_taken_from_its_place_in_the_answer_and_one_without_answer_is_missing() -> None:
    first, second, third = (a_register("uint16", address=address) for address in (5, 7, 20))
    answers = {Request("holding", 5, 3): [11, 12, 13]}
    assert numbers_of([first, second, third], answers) == {first: 11, second: 13}


def test_status_words_are_whole_numbers_only() -> None:
    assert {"float32", "float64"} & set(WHOLE) == set()
    assert {"uint16", "int32"} <= set(WHOLE)


def test_no_function_that_writes_to_a_device_is_used() -> None:
    """Architecture, decision 10: no output is wired to control. Modbus functions 5, 6, 15, 16, 22 and 23 write."""
    folder = Path(inspect.getfile(edge.modbus)).parent
    used: set[str] = set()
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        used |= set(re.findall(r"\b(?:client|_client)\.([a-z_]+)", text))
        assert not re.search(r"\b(write_|mask_write|readwrite_|execute\(|pdu\.(?!import))", text), file.name
    reading = {"read_holding_registers", "read_input_registers", "read_coils", "read_discrete_inputs"}
    assert used == reading | {"connect", "connected", "close"}
