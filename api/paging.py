"""Pages of a list: an opaque cursor carries the key of the last item, so that no page depends on an offset."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from plant.errors import BadDocument, Fault

T = TypeVar("T")


def encode(*key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The key in *cursor*, read as *kinds*, each `datetime`, `str` or `int`; None for the first page.

    Raises
    ------
    BadDocument
        For anything but a cursor that this list gave out.
    """
    if cursor is None:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(parts, list) or len(parts) != len(kinds):
            raise ValueError
        return tuple(_part(part, kind) for part, kind in zip(parts, kinds, strict=True))
    except (ValueError, binascii.Error, RecursionError):
        raise BadDocument("cursor", [Fault("", "is none that this list gave out")]) from None


def _part(part: Any, kind: type) -> Any:
    if kind is datetime:
        moment = datetime.fromisoformat(part if isinstance(part, str) else "")
        if moment.tzinfo is None:
            raise ValueError
        return moment
    if type(part) is not kind:
        raise ValueError
    # Half of a surrogate pair has no bytes, which is a ValueError as well.
    if (isinstance(part, str) and b"\x00" in part.encode()) or (isinstance(part, int) and abs(part) >= 2**63):
        raise ValueError
    return part


def page(rows: Sequence[T], limit: int, key: Callable[[T], Sequence[str | int]]) -> dict[str, Any]:
    """The answer of a list that was asked for one row more than *limit*."""
    more = len(rows) > limit
    return {"items": list(rows[:limit]), "next": encode(*key(rows[limit - 1])) if more else None}
