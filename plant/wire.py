"""What travels over MQTT, as edges write it: frames by columns, receipts, states (contract, section 3).

No numpy and no third-party library: an edge agent imports this. Reading what others sent is the
ingestor's work (`ingestor.decode`), which trusts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plant.errors import Undecodable

SCHEMA: Final = 1
_ROW_KEYS: Final = ("state", "instrument", "interval_s", "revision", "flag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement as an edge took it. `sampled_at_ms`: epoch, the start of its interval."""

    stack: str
    sampled_at_ms: int
    values: Mapping[str, float | None]
    interval_s: int | None = None
    instrument: str | None = None
    state: str | None = None
    flag: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the system says it has of one session: all of 1..through, and those in `also`."""

    session: str
    through: int
    also: tuple[int, ...] = ()
    refused: tuple[Mapping[str, Any], ...] = ()

    def covers(self, seq: int) -> bool:
        return seq <= self.through or seq in self.also


def columns(rows: Sequence[Row]) -> dict[str, Any]:
    """*rows* by column, all lists of one length; a column that is constant is one scalar."""
    frame: dict[str, Any] = {
        "stack": [row.stack for row in rows],
        "sampled_at": [row.sampled_at_ms for row in rows],
    }
    for key in _ROW_KEYS:
        values = [getattr(row, key) for row in rows]
        if any(value is not None for value in values):
            frame[key] = values
    flagged = {channel for row in rows for channel in row.flags}
    if flagged:
        frame["flags"] = {c: [row.flags.get(c) for row in rows] for c in sorted(flagged)}
    for channel in dict.fromkeys(channel for row in rows for channel in row.values):
        frame[channel] = [row.values.get(channel) for row in rows]
    for key in ("stack", *_ROW_KEYS):
        if key in frame and all(value == frame[key][0] for value in frame[key]):
            frame[key] = frame[key][0]
    return frame


def frame(
    body: Mapping[str, Any],
    *,
    session: str,
    seq: int,
    low: int,
    rows_before: int,
    dropped_before: int,
    sent_at_ms: int,
) -> bytes:
    """Shape 3: the columns of *body* under a sequence number for which a receipt is owed."""
    head = {
        "schema": SCHEMA,
        "session": session,
        "seq": seq,
        "low": low,
        "rows_before": rows_before,
        "dropped_before": dropped_before,
        "sent_at": sent_at_ms,
    }
    return encode({**head, **body})


def encode(document: Mapping[str, Any]) -> bytes:
    """Compact JSON; numbers with all their digits, NaN refused."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def receipt_from(payload: bytes) -> Receipt:
    """The receipt in *payload*; `Undecodable` where it is none."""
    try:
        document = json.loads(payload)
        if not isinstance(document, dict):
            raise TypeError("no JSON object")
        refused = tuple(document.get("refused", ()))
        if not all(isinstance(item, dict) for item in refused):
            raise TypeError("refused must hold tables")
        return Receipt(
            session=str(document["session"]),
            through=int(document["through"]),
            also=tuple(int(seq) for seq in document.get("also", ())),
            refused=refused,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise Undecodable(f"receipt: {error!r}") from error


def receipt_bytes(receipt: Receipt) -> bytes:
    return encode(
        {
            "session": receipt.session,
            "through": receipt.through,
            "also": list(receipt.also),
            "refused": [dict(item) for item in receipt.refused],
        }
    )


def state_bytes(
    *,
    online: bool,
    version: str,
    outbox: int = 0,
    oldest_ms: int | None = None,
    dropped: int = 0,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """The retained state of an edge, also its last will. `outbox`: frames that wait for a receipt."""
    state = {"online": online, "version": version, "outbox": outbox, "oldest": oldest_ms, "dropped": dropped}
    return encode({**(more or {}), **state})
