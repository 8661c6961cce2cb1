"""Reading what people write: tables from TOML or JSON, every fault collected with its key path.

A `Reader` wraps one table. Its methods fetch a key, note a fault where the value is not what it
should be, and give a harmless stand-in, so that one pass over a document names everything that is
wrong with it. `finish` also names keys that nobody asked for: a misspelt option must not be silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from plant.errors import Fault
from plant.identifiers import is_identifier

T = TypeVar("T")


class Reader:
    def __init__(self, table: Mapping[str, Any], path: str, faults: list[Fault]) -> None:
        self._table = table
        self._path = path
        self._seen: set[str] = set()
        self.faults = faults

    def path(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def fault(self, key: str, message: str) -> None:
        self.faults.append(Fault(self.path(key) if key else self._path, message))

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def raw(self, key: str) -> Any:
        self._seen.add(key)
        return self._table.get(key)

    def _read(self, key: str, default: T | None, read: Callable[[Any], T | None], wanted: str, fallback: T) -> T:
        value = self.raw(key)
        if value is None:
            if default is None:
                self.fault(key, f"is required: {wanted}")
                return fallback
            return default
        result = read(value)
        if result is None:
            self.fault(key, f"must be {wanted}, got {value!r}")
            return fallback
        return result

    def text(self, key: str, default: str | None = None) -> str:
        return self._read(
            key,
            default,
            lambda v: v if isinstance(v, str) and v.strip() else None,
            "a text that is not empty",
            "?",
        )

    def identifier(self, key: str, default: str | None = None) -> str:
        return self._read(
            key,
            default,
            lambda v: v if is_identifier(v) else None,
            "a name of 1 to 64 of A-Z a-z 0-9 _ -",
            "?",
        )

    def one_of(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        allowed = tuple(choices)
        return self._read(
            key, default, lambda v: v if v in allowed else None, "one of " + ", ".join(allowed), allowed[0]
        )

    def number(
        self, key: str, default: float | None = None, *, low: float = -math.inf, high: float = math.inf
    ) -> float:
        wanted = "a number" if low == -math.inf and high == math.inf else f"a number from {low:g} to {high:g}"
        return self._read(key, default, lambda v: _number(v, low, high), wanted, max(low, 0.0))

    def maybe_number(self, key: str, *, low: float = -math.inf, high: float = math.inf) -> float | None:
        return self.number(key, low=low, high=high) if self.raw(key) is not None else None

    def exact(self, key: str, default: Decimal | None = None) -> Decimal:
        """A number that is compared without rounding: the digits as written."""
        return self._read(
            key,
            default,
            lambda v: Decimal(str(v)) if _number(v, -math.inf, math.inf) is not None else None,
            "a number",
            Decimal(0),
        )

    def whole(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        def read(value: Any) -> int | None:
            ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            return value if ok else None

        return self._read(key, default, read, f"a whole number from {low} to {high}", low)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._read(key, default, lambda v: v if isinstance(v, bool) else None, "true or false", False)

    def day(self, key: str, default: date | None = None) -> date:
        return self._read(key, default, _day, "a date such as 2025-12-31", date.min)

    def maybe_day(self, key: str) -> date | None:
        return self.day(key) if self.raw(key) is not None else None

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        def read(value: Any) -> tuple[str, ...] | None:
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
                return None
            return tuple(value) if len(set(value)) == len(value) else None

        return self._read(key, default, read, "a list of texts without repeats", ())

    def table(self, key: str) -> Reader:
        """The table under *key*; an empty one where it is absent."""
        value = self.raw(key)
        if value is not None and not isinstance(value, Mapping):
            self.fault(key, f"must be a table, got {value!r}")
            value = None
        return Reader(value or {}, self.path(key), self.faults)

    def tables(self, key: str) -> Iterator[Reader]:
        value = self.raw(key)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.fault(key, f"must be a list of tables, got {value!r}")
            return
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield Reader(item, f"{self.path(key)}[{index}]", self.faults)
            else:
                self.fault(f"{key}[{index}]", f"must be a table, got {item!r}")

    def names(self) -> list[str]:
        return list(self._table)

    def entries(self) -> Iterator[tuple[str, Reader]]:
        """Each sub-table of this table by its name."""
        for key in self._table:
            yield key, self.table(key)

    def finish(self) -> None:
        for key in self._table:
            if key not in self._seen:
                known = ", ".join(sorted(self._seen))
                self.fault(key, f"is not known here; known are {known}")


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a signalling NaN
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def _day(value: Any) -> date | None:
    if type(value) is date:
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return None
