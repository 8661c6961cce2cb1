"""The rows of a source as the body of a frame: columns of one length, a constant one as a scalar (contract, section 3).

Which columns a kind needs stands here; what the others mean is between a source and the reader of its frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edge.sources import MEASUREMENT, REPORTED_MEAN, SIGNAL, Row

#: Kind of frame -> columns without which a row of it says nothing.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    MEASUREMENT: ("stack", "sampled_at"),
    REPORTED_MEAN: ("stack", "sampled_at", "interval_s", "channel"),
    SIGNAL: ("sampled_at", "signal"),
}
ROWS_PER_FRAME: Final = 200
BYTES_PER_FRAME: Final = 400_000  # about: brokers carry a megabyte
_BYTES_PER_NUMBER: Final = 20
_BYTES_PER_CHARACTER: Final = 3
LONGEST_TEXT: Final = 256
MOST_COLUMNS: Final = 512
_INT_BOUND: Final = 1 << 63
_SCALARS: Final = frozenset(
    {"stack", "interval_s", "flag", "state", "instrument", "revision", "source", "channel", "signal", "unit"}
)
_FLAGS: Final = "flags"
_HEAD: Final = frozenset({"kind", "schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at"})


def check_rows(rows: Sequence[Row], kind: str) -> None:
    """`ValueError` naming the first row that cannot travel, and why."""
    needed = NEEDED.get(kind)
    if needed is None:
        raise ValueError(f"no kind of frame is called {kind!r}")
    for row in rows:
        for key in needed:
            if row.get(key) is None:
                raise ValueError(f"a row of kind {kind} needs {key!r}: {_named(row)}")
        if type(row["sampled_at"]) is not int:
            raise ValueError(f"sampled_at must be whole milliseconds: {_named(row)}")
        if len(row) > MOST_COLUMNS:
            raise ValueError(f"a row has {len(row)} columns, {MOST_COLUMNS} may travel: {_named(row)}")
        for key, value in row.items():
            fault = _fault_of(key, value)
            if fault:
                raise ValueError(f"{fault}: {_named(row)}")


def frames_of(rows: Sequence[Row], kind: str) -> Iterator[tuple[dict[str, Any], int]]:
    """*rows* in order, cut into bodies of frames with the number of rows in each."""
    widest = max((sum(map(_bytes_of, row.values())) for row in rows), default=1)
    rows_per_frame = max(1, min(ROWS_PER_FRAME, BYTES_PER_FRAME // max(1, widest)))
    for at in range(0, len(rows), rows_per_frame):
        part = rows[at : at + rows_per_frame]
        yield columns_of(part, kind), len(part)


def columns_of(rows: Sequence[Row], kind: str) -> dict[str, Any]:
    """*rows* by column; null where a row has no such value."""
    frame: dict[str, Any] = {} if kind == MEASUREMENT else {"kind": kind}
    for key in dict.fromkeys(key for row in rows for key in row if key != _FLAGS):
        values = [row.get(key) for row in rows]
        if key not in _SCALARS or any(value != values[0] for value in values):
            frame[key] = values
        elif values[0] is not None:
            frame[key] = values[0]
    flagged = sorted({channel for row in rows for channel in row.get(_FLAGS) or ()})
    if flagged:
        frame[_FLAGS] = {channel: [(row.get(_FLAGS) or {}).get(channel) for row in rows] for channel in flagged}
    return frame


def _bytes_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value) * _BYTES_PER_CHARACTER
    return _BYTES_PER_NUMBER * (len(value) if isinstance(value, Mapping) else 1)


def _fault_of(key: Any, value: Any) -> str | None:
    if not isinstance(key, str) or key in _HEAD or not key.isprintable() or len(key) > LONGEST_TEXT:
        return f"{key!r} is no column"
    if key == _FLAGS:
        fits = value is None or (
            isinstance(value, Mapping) and all(_is_text(part) for pair in value.items() for part in pair)
        )
        return None if fits else "flags must be flags by channel"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < _INT_BOUND else f"{key} has more digits than travel"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{key} must be finite or null"
    return None if _is_text(value) else f"{key} must be a number, a text of up to {LONGEST_TEXT} characters, or null"


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)  # no half characters


def _named(row: Row) -> str:
    """A row in few words, for a message: never its values."""
    shown = {key: row[key] for key in ("stack", "signal", "sampled_at") if row.get(key) is not None}
    return " ".join(f"{key}={value!r}" for key, value in shown.items())[:200]
