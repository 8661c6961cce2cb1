"""Tables as TOML text: what the register of a scenario needs, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any


def toml_text(tables: Mapping[str, Any]) -> str:
    return "\n".join(_lines(tables, "")) + "\n"


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Plain values first: in TOML what follows a table's head belongs to it."""
    tables = {key: value for key, value in table.items() if _is_table(value) or _are_tables(value)}
    for key, value in table.items():
        if key not in tables:
            yield f"{key} = {_value(value)}"
    for key, value in tables.items():
        name = f"{path}.{key}" if path else key
        for item in value if _are_tables(value) else ():
            yield f"\n[[{name}]]"
            yield from _lines(item, name)
        if _is_table(value):
            yield f"\n[{name}]"
            yield from _lines(value, name)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    raise TypeError(f"{value!r} has no form in TOML here")
