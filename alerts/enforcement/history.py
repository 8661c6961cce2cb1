"""A case's history in the database: read whole and checked, appended to by one record.

The shell around `chain` and `workflow`: every record of every case is written by `append`, inside the
transaction of the caller that holds the case's row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from alerts.enforcement.chain import Link, head_hash, link, utc_text, verify
from alerts.enforcement.deadlines import due
from alerts.enforcement.workflow import ENDED, Record, State, state_of
from plant.errors import BadDocument, Fault, Refused
from store import cases
from store.pool import Connection

EVIDENCE_BYTES: Final = 65_536
"""Bound on what one act may attach: evidence is named here (addresses, digests), files lie elsewhere."""


@dataclass(frozen=True, slots=True)
class History:
    """The records of one case, oldest first."""

    bodies: tuple[dict[str, Any], ...] = ()
    last_hash: bytes = b""

    @property
    def state(self) -> State:
        return state_of(record_of(body) for body in self.bodies)

    def newest(self, action: str) -> dict[str, Any] | None:
        return next((body for body in reversed(self.bodies) if body["action"] == action), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a record says beside its place in the history."""

    action: str
    before: State | None
    after: State
    role: str
    actor: str
    at: datetime  #: by the site's clock
    recorded_at: datetime  #: by ours; another one only at a simulated site
    reason: str
    evidence: Sequence[Any] = ()
    numbers: Mapping[str, Any]


def record_of(body: Mapping[str, Any]) -> Record:
    before = body["before"]
    return Record(body["action"], None if before is None else State(before), State(body["after"]))


def head_of(case: cases.Case) -> dict[str, Any]:
    """What the first record is chained to."""
    return {
        "id": case.case_id,
        "site": case.site,
        "units": case.units,
        "track": case.track,
        "opened_at": utc_text(case.opened_at),
        "pinned": case.pinned,
    }


async def load(conn: Connection, case: cases.Case) -> History:
    """The history of *case*; `Refused` where its chain is broken, for nothing may be built on that."""
    rows = (await cases.events(conn, [case.case_id]))[case.case_id]
    broken = verify(head_of(case), [Link(row.body, row.previous_hash, row.hash) for row in rows])
    if broken is not None:
        raise Refused(f"the history of {case.case_id} is damaged: {broken}")
    return History(tuple(json.loads(row.body) for row in rows), rows[-1].hash)


async def append(conn: Connection, case: cases.Case, history: History, entry: Entry) -> History:
    """Write *entry* as the next record of *case* and repeat its state in the case's row."""
    number = len(history.bodies) + 1
    body: dict[str, Any] = {
        "case": case.case_id,
        "number": number,
        "action": str(entry.action),
        "before": entry.before,
        "after": entry.after,
        "role": entry.role,
        "actor": entry.actor,
        "at": utc_text(entry.at),
        "recorded_at": utc_text(entry.recorded_at),
        "reason": entry.reason,
        "evidence": list(entry.evidence),
        "numbers": dict(entry.numbers),
    }
    item = link(history.last_hash or head_hash(head_of(case)), body)
    await cases.append(
        conn,
        cases.EventRow(
            case_id=case.case_id,
            number=number,
            body=item.body,
            previous_hash=item.previous_hash,
            hash=item.hash,
        ),
        action=str(entry.action),
        role=entry.role,
        actor=entry.actor,
        at=entry.at,
        reason=entry.reason,
    )
    return History((*history.bodies, body), item.hash)


async def move(conn: Connection, case: cases.Case, entry: Entry, zone: ZoneInfo) -> None:
    """Repeat in the case's row where *entry* took it, and when the next act is due."""
    await cases.set_state(
        conn,
        case.case_id,
        state=entry.after,
        due=due(entry.after, opened_at=case.opened_at, entered_at=entry.at, zone=zone),
        closed_at=entry.at if entry.after in ENDED else None,
    )


def checked_text(key: str, text: str) -> str:
    """A text that a person must give; `BadDocument` where it is empty or cannot be kept."""
    if not text.strip():
        raise BadDocument("case", [Fault(key, "is required: say why, it becomes part of the file")])
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadDocument("case", [Fault(key, "holds a character that is no text")])
    return text.strip()


def checked_evidence(evidence: Sequence[Any]) -> list[Any]:
    """What a person attached; `BadDocument` where it cannot be part of a record."""
    items = list(evidence)
    try:
        size = len(json.dumps(items, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, TypeError) as error:
        raise BadDocument("case", [Fault("evidence", f"is no JSON: {error}")]) from None
    if size > EVIDENCE_BYTES:
        raise BadDocument("case", [Fault("evidence", f"is {size} bytes, at most {EVIDENCE_BYTES} are kept")])
    return items
