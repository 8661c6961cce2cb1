"""Reading tables that people wrote: a value or a fault for every key, and never an exception."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.errors import Fault
from plant.reading import Reader


def a_reader(**table: Any) -> Reader:
    return Reader(table, "top", [])


Read = Callable[[Reader], Any]

KINDS: list[tuple[str, Read, Any]] = [
    ("text", lambda r: r.text("key"), "words"),
    ("identifier", lambda r: r.identifier("key"), "DA001"),
    ("one_of", lambda r: r.one_of("key", ("a", "b")), "b"),
    ("number", lambda r: r.number("key", low=0.0, high=10.0), 2.5),
    ("exact", lambda r: r.exact("key"), Decimal("0.95")),
    ("whole", lambda r: r.whole("key", low=0, high=10), 7),
    ("boolean", lambda r: r.boolean("key"), True),
    ("day", lambda r: r.day("key"), date(2025, 12, 31)),
    ("texts", lambda r: r.texts("key"), ("a", "b")),
]
kinds = pytest.mark.parametrize(("read", "value"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])


@kinds
def test_a_right_value_is_given_without_a_fault(read: Read, value: Any) -> None:
    reader = a_reader(key=list(value) if isinstance(value, tuple) else value)
    assert read(reader) == value
    reader.finish()
    assert reader.faults == []


@kinds
def test_an_absent_value_is_a_fault_and_gives_a_harmless_stand_in(read: Read, value: Any) -> None:
    reader = a_reader()
    assert type(read(reader)) is type(value)
    assert [(fault.path, fault.message[:11]) for fault in reader.faults] == [("top.key", "is required")]


@kinds
@pytest.mark.parametrize("wrong", [{"a": 1}, [1, 2], object(), b"x"], ids=["table", "list", "object", "bytes"])
def test_a_wrong_value_is_a_fault_that_shows_it(read: Read, value: Any, wrong: Any) -> None:
    reader = a_reader(key=wrong)
    assert type(read(reader)) is type(value)
    (fault,) = reader.faults
    assert fault.path == "top.key"
    assert fault.message.startswith("must be ")
    assert repr(wrong) in fault.message


@pytest.mark.parametrize("value", [True, "7", None, float("nan"), float("inf"), -1, 11, 10**400])
def test_what_is_no_number_in_bounds_is_refused(value: Any) -> None:
    reader = a_reader(key=value)
    reader.number("key", low=0, high=10)
    assert len(reader.faults) == 1


@pytest.mark.parametrize("value", [True, "0.95", float("nan"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")])
def test_what_cannot_be_compared_is_no_exact_number(value: Any) -> None:
    reader = a_reader(key=value)
    assert reader.exact("key") == 0
    assert len(reader.faults) == 1


def test_an_instant_is_no_day_and_a_written_day_is() -> None:
    assert a_reader(key="2025-12-31").day("key") == date(2025, 12, 31)
    reader = a_reader(key=datetime(2025, 12, 31))  # noqa: DTZ001
    reader.day("key")
    assert len(reader.faults) == 1


def test_digits_are_kept_as_they_were_written() -> None:
    assert a_reader(key=0.95).exact("key") == Decimal("0.95")


def test_a_key_that_nobody_asked_for_is_named_with_those_that_were() -> None:
    reader = a_reader(code="a", naem="b")
    reader.text("code")
    reader.finish()
    assert [str(fault) for fault in reader.faults] == ["top.naem: is not known here; known are code"]


def test_tables_in_tables_keep_their_paths() -> None:
    reader = a_reader(stack=[{"code": "a"}, {"code": 7}, 8], channels={"so2": {}, "o2": 3})
    assert [table.text("code") for table in reader.tables("stack")] == ["a", "?"]
    assert [(name, table.path("range")) for name, table in reader.table("channels").entries()] == [
        ("so2", "top.channels.so2.range"),
        ("o2", "top.channels.o2.range"),
    ]
    assert {fault.path for fault in reader.faults} == {"top.stack[1].code", "top.stack[2]", "top.channels.o2"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(anything)
def test_no_value_makes_reading_raise(value: Any) -> None:
    for _, read, good in KINDS:
        faults: list[Fault] = []
        found = read(Reader({"key": value}, "", faults))
        assert type(found) is type(good)
        assert len(faults) <= 1
