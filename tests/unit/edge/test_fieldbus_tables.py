"""Whatever stands in a table, it is a plan or a fault with a path, never another error."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.sources import read_sources
from plant.errors import Fault
from plant.reading import Reader

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
GOOD = {kind: tomllib.loads((EXAMPLES / f"{kind}.toml").read_text(encoding="utf-8")) for kind in ("modbus", "opcua")}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["nan", "0x0", "ns="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(table: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in *table*."""
    inner = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def put(table: Any, path: tuple[Any, ...], value: Any) -> None:
    *way, last = path
    for key in way:
        table = table[key]
    table[last] = value


@pytest.mark.parametrize("kind", ["modbus", "opcua"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_at_any_place_of_a_table_is_read_or_named(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    tables = copy.deepcopy(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places(tables) if len(place) > 2]))
        put(tables, path, data.draw(values))
    faults: list[Fault] = []
    sources = read_sources(Reader(tables, "", faults), site="s", beside=tmp_path)
    assert sources or faults
    assert all(fault.path.startswith(kind) and fault.message for fault in faults)
