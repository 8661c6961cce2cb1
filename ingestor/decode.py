"""Reading what edges sent, trusting nothing: three shapes in, good rows and refusals out (contract, section 3).

Pure: bytes, the register and the time of receipt in; nothing leaves but a `Message` or `Undecodable`. A bad row is
refused with its reason and its neighbours stay. Values are kept raw: nothing is converted here.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import AllowInfNan, Strict, TypeAdapter, ValidationError
from pydantic_core import from_json

from plant.channels import FLAGS, STATES
from plant.errors import Undecodable
from plant.identifiers import is_identifier
from plant.merging import Version
from plant.periods import MINUTE, SECOND, micros
from plant.topics import Speaker

MAX_PAYLOAD_BYTES: Final = 16 << 20
MAX_ROWS: Final = 100_000
AHEAD_US: Final = 5 * MINUTE  #: a row further in the future than this is refused, except at a simulated site

_HEAD: Final = ("schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at", "site", "edge")
_ROW_KEYS: Final = (
    "stack",
    "sampled_at",
    "interval_s",
    "instrument",
    "state",
    "flag",
    "flags",
    "revision",
    "sent_at",
)
_NO_CHANNEL: Final = frozenset({*_HEAD, *_ROW_KEYS})
_LOW: Final = re.compile(rb'"low"\s*:\s*\d+\s*,?')
_LAST_MS: Final = 7_258_118_400_000  # the year 2200: a later time is a broken clock, at a simulated site too
_CHANNEL_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")

_NUMBERS: Final = TypeAdapter(list[Annotated[float, Strict(), AllowInfNan(False)] | None])

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStack:
    stack_id: int
    interval_s: int
    stamped_at_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSite:
    """What decoding needs of a registered site."""

    site_id: int
    simulated: bool
    timezone: str
    stacks: Mapping[str, KnownStack]


@dataclass(frozen=True, slots=True)
class IncomingRow:
    """A good row: its identity and what it says."""

    stack_id: int
    instrument: str
    sampled_at: int  #: microseconds since the epoch
    version: Version


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken: its place in the message, why, and its time where that could be read."""

    row: int
    reason: str
    sampled_at: int | None


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
    rows: Sequence[IncomingRow]
    refused: Sequence[Refusal]

    @property
    def n_rows(self) -> int:
        return len(self.rows) + len(self.refused)


class UnknownSite(Undecodable):
    """The topic names a site that nobody registered."""


class _Bad(ValueError):
    """One value that cannot be taken."""


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
    head, rows, n_rows = _rows_of(document)
    if n_rows > MAX_ROWS:
        raise Undecodable(f"{n_rows} rows in one message, at most {MAX_ROWS} are taken")
    _check_speaker(head, speaker)
    session, seq = _frame_identity(head)
    sent_at = _head(head, "sent_at", _instant, None)
    newest = None if site.simulated or any_time else received_at + AHEAD_US
    checker = _Checker(site=site, speaker=speaker, newest=newest, sent_at=sent_at)
    good, refused = checker.check(rows, n_rows)
    return Message(
        site_id=site.site_id,
        edge=speaker.edge,
        session=session,
        seq=seq,
        low=_head(head, "low", _count(1), 1),
        rows_before=_head(head, "rows_before", _count(0), 0),
        dropped_before=_head(head, "dropped_before", _count(0), 0),
        sent_at=sent_at,
        digest=payload_digest(payload),
        rows=good,
        refused=refused,
    )


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


Columns = dict[str, list[Any]]


def _rows_of(document: Any) -> tuple[Mapping[str, Any], Columns | list[Any], int]:
    """(head, rows by column or one by one, how many) of any of the three shapes."""
    if isinstance(document, list):
        if not document:
            raise Undecodable("an empty list holds no measurement")
        return {}, document, len(document)
    if not isinstance(document, dict):
        raise Undecodable(f"a measurement is a JSON object, a list of them or a frame, not {_shown(document)}")
    if not isinstance(document.get("stack"), list) and not isinstance(document.get("sampled_at"), list):
        return document, [document], 1
    return document, *_columns_of(document)


def _columns_of(frame: Mapping[str, Any]) -> tuple[Columns, int]:
    """The columns of a frame, all of one length; a scalar that stands for a constant column is spread."""
    schema = frame.get("schema", 1)
    if schema != 1 or isinstance(schema, bool):
        raise Undecodable(f"schema {_shown(schema)} is not known; this system reads schema 1")
    times = frame.get("sampled_at")
    if not isinstance(times, list):
        raise Undecodable("sampled_at of a frame must be a list with an entry for each row")
    n_rows = len(times)
    if n_rows == 0:
        raise Undecodable("a frame without rows")
    columns: Columns = {}
    for key, value in frame.items():
        try:
            _check_channel_name(key)
        except _Bad as error:
            raise Undecodable(str(error)) from error
        if key == "flags":
            columns[key] = _flags_by_row(value, n_rows)
        elif isinstance(value, list):
            if key in _HEAD:
                raise Undecodable(f"{key} is one value for the frame, not a list")
            if len(value) != n_rows:
                raise Undecodable(f"lists of unequal length: sampled_at has {n_rows} entries, {key} has {len(value)}")
            columns[key] = value
        elif key in _ROW_KEYS and key != "sent_at":
            columns[key] = [value] * n_rows
        elif key not in _HEAD:
            raise Undecodable(f"{key} of a frame must be a list with an entry for each row")
    if "stack" not in columns:
        raise Undecodable("a frame without stack")
    return columns, n_rows


def _flags_by_row(flags: Any, n_rows: int) -> list[Any]:
    """The flags by channel of a frame, turned into one table a row."""
    if flags is None:
        return [None] * n_rows
    if not isinstance(flags, dict):
        raise Undecodable(f"flags of a frame must be a table of lists by channel, not {_shown(flags)}")
    for channel, column in flags.items():
        try:
            _check_channel_name(channel)
        except _Bad as error:
            raise Undecodable(f"flags: {error}") from error
        if isinstance(column, list) and len(column) != n_rows:
            raise Undecodable(
                f"lists of unequal length: sampled_at has {n_rows} entries, flags.{channel} {len(column)}"
            )
    spread = {c: column if isinstance(column, list) else [column] * n_rows for c, column in flags.items()}
    return [{c: column[row] for c, column in spread.items() if column[row] is not None} for row in range(n_rows)]


def _check_speaker(head: Mapping[str, Any], speaker: Speaker) -> None:
    """The topic says who speaks; a payload that names another is refused."""
    try:
        _named_speaker(head, speaker)
    except _Bad as error:
        raise Undecodable(f"payload {error}") from error


def _named_speaker(named: Mapping[str, Any], speaker: Speaker) -> None:
    for key, name in (("site", speaker.site), ("edge", speaker.edge)):
        if named.get(key) is not None and named[key] != name:
            raise _Bad(f"names {key} {_shown(named[key])}, its topic says {name!r}")


def _frame_identity(head: Mapping[str, Any]) -> tuple[str | None, int | None]:
    session, seq = head.get("session"), head.get("seq")
    if session is None and seq is None:
        return None, None
    if not is_identifier(session):
        raise Undecodable(f"session {_shown(session)} does not match [A-Za-z0-9_-]{{1,64}}")
    if isinstance(seq, bool) or not isinstance(seq, int) or not 1 <= seq < 1 << 62:
        raise Undecodable(f"seq {_shown(seq)} is not a whole number from 1")
    return session, seq


def _head(head: Mapping[str, Any], key: str, read: Callable[[Any], Value], default: Value) -> Value:
    value = head.get(key)
    if value is None:
        return default
    try:
        return read(value)
    except _Bad as error:
        raise Undecodable(f"{key} {error}") from error


def _count(low: int, most: int = (1 << 62) - 1) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= most:
            raise _Bad(f"{_shown(value)} is not a whole number from {low}")
        return value

    return read


_revision = _count(0, (1 << 31) - 1)  # what its column holds


@dataclass(slots=True, kw_only=True)
class _Checker:
    """Checks the rows of one message against the register and the clock."""

    site: KnownSite
    speaker: Speaker
    newest: int | None
    sent_at: int | None
    good: list[IncomingRow] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def check(self, rows: Columns | list[Any], n_rows: int) -> tuple[list[IncomingRow], list[Refusal]]:
        if isinstance(rows, list):
            for index, row in enumerate(rows):
                self._take(index, row, None)
        else:
            self._check_columns(rows, n_rows)
        return self.good, self.refused

    def _check_columns(self, columns: Columns, n_rows: int) -> None:
        channels: dict[str, list[Any]] = {}
        bad: dict[int, str] = {}
        for name, column in columns.items():
            if name not in _ROW_KEYS:
                channels[name] = _numbers(name, column, bad)
        fields = {key: columns[key] for key in _ROW_KEYS if key in columns}
        for index in range(n_rows):
            row = {key: column[index] for key, column in fields.items()}
            if index in bad:
                self._refuse(index, row, bad[index])
            else:
                self._take(index, row, {name: column[index] for name, column in channels.items()})

    def _take(self, index: int, row: Any, values: dict[str, float | None] | None) -> None:
        """*values* are checked already where the row comes from a frame; else they stand in *row*."""
        try:
            self.good.append(self._row(row, values))
        except _Bad as error:
            self._refuse(index, row, str(error))

    def _refuse(self, index: int, row: Any, reason: str) -> None:
        at: int | None
        try:
            at = _instant(row["sampled_at"])
        except (_Bad, KeyError, TypeError):
            at = None
        self.refused.append(Refusal(index, reason, at))

    def _row(self, row: Any, values: dict[str, float | None] | None) -> IncomingRow:
        if not isinstance(row, dict):
            raise _Bad(f"a measurement is a JSON object, not {_shown(row)}")
        known = self.site.stacks.get(row["stack"]) if isinstance(row.get("stack"), str) else None
        if known is None:
            raise _Bad(f"unknown stack {_shown(row.get('stack'))}" if "stack" in row else "names no stack")
        if row.get("sampled_at") is None:
            raise _Bad("has no sampled_at")
        sampled_at = _named("sampled_at", _instant, row["sampled_at"])
        if self.newest is not None and sampled_at > self.newest:
            # The same words for every such row: a frame of them is one line of a receipt.
            raise _Bad(f"sampled_at is more than {AHEAD_US // SECOND} s ahead of the system's clock")
        if values is None:
            _named_speaker(row, self.speaker)
            for key in row:
                _check_channel_name(key)
            values = {key: _number(key, value) for key, value in row.items() if key not in _NO_CHANNEL}
        flag = _letter("flag", row.get("flag"), "N")
        return IncomingRow(
            known.stack_id,
            _instrument(row.get("instrument")),
            sampled_at,
            Version(
                revision=0 if row.get("revision") is None else _named("revision", _revision, row["revision"]),
                sent_at=_named("sent_at", _instant, row["sent_at"]) if row.get("sent_at") is not None else self.sent_at,
                interval_s=known.interval_s if row.get("interval_s") is None else _interval(row["interval_s"]),
                flag=flag,
                flags=_flags(row.get("flags"), flag),
                state=_state(row.get("state")),
                # Adding zero leaves one zero: a value that is the same must have the same bytes.
                values={channel: value + 0.0 for channel, value in values.items() if value is not None},
            ),
        )


def _numbers(name: str, column: list[Any], bad: dict[int, str]) -> list[Any]:
    """The column as checked numbers; rows that hold something else are noted in *bad*."""
    try:
        return _NUMBERS.validate_python(column)
    except ValidationError:
        checked: list[Any] = []
        for index, value in enumerate(column):
            try:
                checked.append(_number(name, value))
            except _Bad as error:
                bad.setdefault(index, str(error))
                checked.append(None)
        return checked


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Bad(f"{name} {_shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Bad(f"{name} {_shown(value)} is not finite")
    return number


def _instant(value: Any) -> int:
    """ISO 8601 with an offset, or epoch milliseconds, as microseconds since the epoch."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
            at_us = micros(at)
        except (ValueError, OverflowError) as error:
            raise _Bad(f"{_shown(value)} is no ISO 8601 time with an offset") from error
        if not 0 <= at_us < _LAST_MS * 1000:
            raise _Bad(f"{_shown(value)} is outside of the years 1970 to 2199")
        return at_us
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Bad(f"{_shown(value)} is neither ISO 8601 nor epoch milliseconds")
    if not 0 <= value < _LAST_MS:  # NaN fails this too
        raise _Bad(f"{_shown(value)} ms since the epoch is outside of the years 1970 to 2199")
    return round(value * 1000)


def _named(name: str, read: Callable[[Any], Value], value: Any) -> Value:
    try:
        return read(value)
    except _Bad as error:
        raise _Bad(f"{name} {error}") from error


def _check_channel_name(name: str) -> None:
    """Any channel is kept, but its name must be one that a person can read and a database can hold."""
    if _CHANNEL_NAME.fullmatch(name) is None:
        raise _Bad(f"channel name {_shown(name)} is longer than 64 characters or has control characters")


def _interval(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 3600 or value != int(value):
        raise _Bad(f"interval_s {_shown(value)} is not a whole number of seconds from 1 to 3600")
    return int(value)


def _instrument(value: Any) -> str:
    if value is None:
        return "main"
    if not is_identifier(value):
        raise _Bad(f"instrument {_shown(value)} does not match [A-Za-z0-9_-]{{1,64}}")
    return str(value)


def _letter(name: str, value: Any, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or value not in FLAGS:
        raise _Bad(f"{name} {_shown(value)} is none of {' '.join(sorted(FLAGS))}")
    return value


def _flags(value: Any, flag: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Bad(f"flags {_shown(value)} is no table of flags by channel")
    for channel in value:
        _check_channel_name(channel)
    letters = {channel: _letter(f"flags.{channel}", letter, flag) for channel, letter in value.items()}
    return {channel: letter for channel, letter in letters.items() if letter != flag}


def _state(value: Any) -> str | None:
    if value is not None and value not in STATES:
        raise _Bad(f"state {_shown(value)} is none of {' '.join(STATES)}")
    return value if value is None else str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
