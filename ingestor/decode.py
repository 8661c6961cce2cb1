"""Reading what edges sent, trusting nothing: three shapes in, good rows and refusals out (contract, section 3).

Pure: bytes, the register and the time of receipt in; nothing leaves but a `Message` or `Undecodable`. A bad row is
refused with its reason and its neighbours stay. Values are kept raw: nothing is converted here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from ingestor.cells import Bad, count, instant, shown
from ingestor.frames import Frame, frame_of, read_frame
from ingestor.reported import kind_of, read_reports, report_frame
from ingestor.rows import AHEAD_US, KnownSite, KnownStack, Refusal, RowReader, check_speaker, read_rows
from plant.blocks import Block, IncomingRow, block_of
from plant.errors import Undecodable
from plant.identifiers import is_identifier
from plant.reports import Kind, Report
from plant.topics import Speaker

__all__ = [
    "MAX_ROWS",
    "KnownSite",
    "KnownStack",
    "Message",
    "Refusal",
    "Remains",
    "decode",
    "payload_digest",
    "remains",
]

MAX_PAYLOAD_BYTES: Final = 16 << 20
MAX_ROWS: Final = 100_000
SCHEMA: Final = 1

_FROM_0: Final = count(0)
_FROM_1: Final = count(1)
_LOW: Final = re.compile(rb'"low"\s*:\s*\d+\s*,?')

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of an edge, read."""

    site_id: int
    edge: str
    session: str | None
    seq: int | None
    low: int
    rows_before: int
    dropped_before: int
    sent_at: int | None
    digest: bytes
    block: Block  #: the good rows of measurements
    reports: Sequence[Report]  #: the good rows of any other kind
    refused: Sequence[Refusal]

    @property
    def n_rows(self) -> int:
        return len(self.block) + len(self.reports) + len(self.refused)

    @property
    def rows(self) -> list[IncomingRow]:
        """The good rows of measurements one by one."""
        return self.block.rows()


class UnknownSite(Undecodable):
    """The topic names a site that nobody registered."""


def decode(
    payload: bytes, speaker: Speaker, site: KnownSite | None, *, received_at: int, any_time: bool = False
) -> Message:
    """The message in *payload*.

    *any_time* takes rows from the future too: somebody looked at them and released them.

    Raises
    ------
    Undecodable
        If nothing of the payload can be taken; the text is the reason for the quarantine and the receipt.
    """
    if site is None:
        raise UnknownSite(f"unknown site {speaker.site!r}")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Undecodable(f"payload of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}")
    try:
        document = from_json(payload)
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from error
    head = document if isinstance(document, dict) else {}
    kind = kind_of(head)
    rows = _rows(document, kind)
    _check_speaker(head, speaker)
    session, seq = _frame_identity(head)
    sent_at = _head(head, "sent_at", instant, None)
    newest = None if site.simulated or any_time else received_at + AHEAD_US
    reader = RowReader(site=site, speaker=speaker, newest=newest, sent_at=sent_at)
    block, reports, refused = _read(rows, kind, reader)
    return Message(
        site_id=site.site_id,
        edge=speaker.edge,
        session=session,
        seq=seq,
        low=_head(head, "low", _FROM_1, 1),
        rows_before=_head(head, "rows_before", _FROM_0, 0),
        dropped_before=_head(head, "dropped_before", _FROM_0, 0),
        sent_at=sent_at,
        digest=payload_digest(payload),
        block=block,
        reports=reports,
        refused=refused,
    )


def _read(
    rows: Frame | list[Any], kind: Kind | None, reader: RowReader
) -> tuple[Block, Sequence[Report], list[Refusal]]:
    if not isinstance(rows, Frame):
        block, refused = read_rows(rows, reader)
        return block, (), refused
    if kind is None:
        block, refused = read_frame(rows, reader)
        return block, (), refused
    reports, refused = read_reports(rows, kind, reader)
    return block_of([]), reports, refused


@dataclass(frozen=True, slots=True)
class Remains:
    """What can still be said of a payload that cannot be taken: a receipt is owed, and the books count its rows."""

    session: str | None
    seq: int | None
    n_rows: int
    digest: bytes


def remains(payload: bytes) -> Remains:
    """The identity of a refused payload as far as it can be read, and how many rows it seems to hold."""
    session, seq, n_rows = None, None, 1
    try:
        document = from_json(payload[:MAX_PAYLOAD_BYTES])
        if isinstance(document, list):
            n_rows = max(1, len(document))
        elif isinstance(document, dict):
            times = document.get("sampled_at")
            n_rows = max(1, len(times)) if isinstance(times, list) else 1
            session, seq = _frame_identity(document)
    except (ValueError, Undecodable):
        session, seq = None, None
    return Remains(session, seq, n_rows, payload_digest(payload))


def payload_digest(payload: bytes) -> bytes:
    """Names a payload: `low` moves while a frame waits in its outbox, all else is sent again as the same bytes."""
    return hashlib.blake2b(_LOW.sub(b"", payload, count=1), digest_size=16).digest()


def _rows(document: Any, kind: Kind | None) -> Frame | list[Any]:
    """The rows of any of the three shapes."""
    if isinstance(document, list):
        if not document:
            raise Undecodable("an empty list holds no measurement")
        return _few_enough(document, len(document))
    if not isinstance(document, dict):
        raise Undecodable(f"a measurement is a JSON object, a list of them or a frame, not {shown(document)}")
    if not isinstance(document.get("stack"), list) and not isinstance(document.get("sampled_at"), list):
        if kind is not None:
            raise Undecodable(f"rows of kind {kind.name} come in a frame by columns")
        return [document]
    schema = document.get("schema", SCHEMA)
    if schema != SCHEMA or isinstance(schema, bool):
        raise Undecodable(f"schema {shown(schema)} is not known; this system reads schema {SCHEMA}")
    frame = frame_of(document) if kind is None else report_frame(document, kind)
    return _few_enough(frame, frame.n_rows)


def _few_enough(rows: Value, n_rows: int) -> Value:
    if n_rows > MAX_ROWS:
        raise Undecodable(f"{n_rows} rows in one message, at most {MAX_ROWS} are taken")
    return rows


def _check_speaker(head: Mapping[str, Any], speaker: Speaker) -> None:
    """The topic says who speaks; a payload that names another is refused."""
    try:
        check_speaker(head, speaker)
    except Bad as error:
        raise Undecodable(f"payload {error}") from error


def _frame_identity(head: Mapping[str, Any]) -> tuple[str | None, int | None]:
    session, seq = head.get("session"), head.get("seq")
    if session is None and seq is None:
        return None, None
    if not is_identifier(session):
        raise Undecodable(f"session {shown(session)} does not match [A-Za-z0-9_-]{{1,64}}")
    if isinstance(seq, bool) or not isinstance(seq, int) or not 1 <= seq < 1 << 62:
        raise Undecodable(f"seq {shown(seq)} is not a whole number from 1")
    return session, seq


def _head(head: Mapping[str, Any], key: str, read: Callable[[Any], Value], default: Value) -> Value:
    value = head.get(key)
    if value is None:
        return default
    try:
        return read(value)
    except Bad as error:
        raise Undecodable(f"{key} {error}") from error
