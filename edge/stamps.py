"""When the rows of a recorded file were taken: its own times, moved ones, or new ones step by step.

A time without an offset means nothing until its zone is said; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plant.errors import BadDocument, Fault

_BOUND_MS: Final = 1 << 53  # what a number in JSON carries whole
TIME_COLUMNS: Final = ("sampled_at", "time", "timestamp")
_SPAN: Final = re.compile(r"([+-]?)\s*([0-9]{1,9})\s*(ms|s|m|min|h|d)")
_SPAN_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})")
_EPOCH_MS: Final = re.compile(r"-?\d{9,13}|-?\d{15}")
_PACKED: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})")  # as HJ 212 writes it
_LOOSE: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]+(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?)?")


@dataclass(frozen=True, slots=True)
class Restamp:
    """Row number n of the file is given the time `from_ms + n * step_ms`."""

    from_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """How rows get their times: `restamp`, or what `columns` say, moved by `shift_ms`; gaps are kept."""

    columns: tuple[str, ...] = ()  #: joined where there are several, such as date and hour
    zone: tzinfo | None = None  #: of times that name none
    shift_ms: int = 0
    restamp: Restamp | None = None

    def of(self, number: int, record: Mapping[str, Any]) -> int | None:
        """The time of the row *number* (from 0); None where it cannot be read. [epoch ms]"""
        found = self._of(number, record)
        return found if found is not None and abs(found) < _BOUND_MS else None

    def _of(self, number: int, record: Mapping[str, Any]) -> int | None:
        if self.restamp is not None:
            return self.restamp.from_ms + number * self.restamp.step_ms
        values = [record.get(column) for column in self.columns]
        value = values[0] if len(values) == 1 else " ".join(str(v if v is not None else "").strip() for v in values)
        read = epoch_ms(value, self.zone)
        return None if read is None else read + self.shift_ms


def epoch_ms(value: Any, zone: tzinfo | None = None) -> int | None:
    """The instant *value* names, as time, epoch milliseconds or text; None where it names none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    moment = value if isinstance(value, datetime) else _moment(str(value if value is not None else "").strip())
    if isinstance(moment, int):
        return moment
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone is not None else None
    try:
        return None if moment is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):  # the first and the last day there is, in some zones
        return None


def parse_step(text: str, what: str = "step") -> int:
    """`1h`, `10s`, `1min`, `1d` in milliseconds."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or found[1] or int(found[2]) == 0:
        raise BadDocument("arguments", [Fault(what, f"must be a span such as 10s, 1min, 1h, 1d; got {text!r}")])
    return int(found[2]) * _SPAN_MS[found[3]]


def parse_shift(text: str) -> int:
    """`365d`, `+8h`, `-30min` in milliseconds."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise BadDocument("arguments", [Fault("shift", f"must be a span such as 365d, +8h, -30min; got {text!r}")])
    return (-1 if found[1] == "-" else 1) * int(found[2]) * _SPAN_MS[found[3]]


def parse_time(text: str, what: str = "from") -> datetime:
    """An ISO 8601 time with its offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadDocument("arguments", [Fault(what, f"must be a time, got {text!r}")]) from None
    if moment.tzinfo is None:
        raise BadDocument("arguments", [Fault(what, f"needs an offset, such as {text}+08:00 or {text}Z")])
    return moment


def parse_zone(text: str) -> tzinfo:
    """`+08:00`, `Z` or a name such as `Asia/Shanghai`."""
    if text in ("Z", "UTC"):
        return UTC
    found = _OFFSET.fullmatch(text)
    if found is not None and int(found[2]) < 24 and int(found[3]) < 60:
        span = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-span if found[1] == "-" else span)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fault = Fault("zone", f"must be an offset such as +08:00 or a name such as Asia/Shanghai, got {text!r}")
        raise BadDocument("arguments", [fault]) from None


def time_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The column of *columns* that is named like a time."""
    return next(((c,) for name in TIME_COLUMNS for c in columns if c.lower() == name), ())


def _moment(text: str) -> datetime | int | None:
    if _EPOCH_MS.fullmatch(text):
        return int(text)
    try:
        if found := _PACKED.fullmatch(text) or _LOOSE.fullmatch(text):
            return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
        return datetime.fromisoformat(text)
    except ValueError:
        return None
