"""A recorded trace as rows on the wire: what to read and how, checked before the first row.

Reading is deterministic: the same file and the same plan give the same rows, which is what makes a replay
resumable. The file is `edge.records`' work, times `edge.stamps`', units `edge.units`'; pacing and publishing are
`edge.replay`'s.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

from edge.records import inspect, records
from edge.stamps import TIME_COLUMNS, Restamp, Stamps, time_columns
from edge.units import Unit, unit_of
from plant.channels import CHANNELS, FLAGS, STATES
from plant.errors import BadDocument, Fault
from plant.identifiers import is_identifier
from plant.wire import Row

_SAMPLED_AT: Final = "sampled_at"
_ROW_FIELDS: Final = ("flag", "state", "instrument")
_OF_FLAG: Final = ".flag"
_OF_THE_FRAME: Final = ("kind", "schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at")
_OF_THE_ROW: Final = ("stack", "sampled_at", "interval_s", "flag", "flags", "state", "instrument", "revision")
_RESERVED: Final = frozenset((*_OF_THE_FRAME, *_OF_THE_ROW))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What to replay, as checked by `plan_replay`."""

    file: Path
    site: str
    stack: str
    channels: Mapping[str, str]  #: column of the file -> channel
    left_out: tuple[str, ...]  #: columns that become nothing
    stamps: Stamps
    units: Mapping[str, str] = field(
        default_factory=dict
    )  #: channel -> unit of the file, where it is not the channel's
    fields: Mapping[str, str] = field(default_factory=dict)  #: column -> flag, state or instrument
    flags: Mapping[str, str] = field(default_factory=dict)  #: column -> channel whose flag it is
    interval_s: int | None = None  #: what one row stands for; None leaves it to the register
    instrument: str | None = None
    speed: float | None = None  #: times real time; None is as fast as receipts come
    rows_per_frame: int = 200
    rows: int = 0  #: in the file
    digest: str = ""  #: of the file's bytes

    @property
    def source(self) -> str:
        """The name under which the outbox keeps this replay's position: same rows, same name."""
        stamps = self.stamps
        restamp = None if stamps.restamp is None else (stamps.restamp.from_ms, stamps.restamp.step_ms)
        times = (stamps.columns, str(stamps.zone or ""), stamps.shift_ms, restamp)
        claims = [sorted(names.items()) for names in (self.channels, self.units, self.fields, self.flags)]
        text = json.dumps([self.digest, self.site, self.stack, self.instrument, self.interval_s, times, claims])
        return f"trace:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@dataclass(slots=True)
class Reading:
    """How far a trace was read, and what was wrong in it."""

    rows: int = 0
    not_numbers: int = 0  #: values that became null
    not_stamped: int = 0  #: rows left out because their time cannot be read

    def text(self) -> str:
        return json.dumps([self.rows, self.not_numbers, self.not_stamped])

    @classmethod
    def from_text(cls, text: str | None) -> Reading:
        return cls() if text is None else cls(*json.loads(text))


def plan_replay(
    file: Path,
    *,
    site: str,
    stack: str,
    mapping: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    start: datetime | None = None,
    step_ms: int | None = None,
    shift_ms: int | None = None,
    zone: tzinfo | None = None,
    speed: float | None = None,
    interval_s: int | None = None,
    instrument: str | None = None,
    rows_per_frame: int = 200,
) -> ReplayPlan:
    """A checked plan.

    A column named like a channel is that channel; *mapping* adds and overrides: column -> channel, `CHANNEL.flag`,
    `flag`, `state`, `instrument` or `sampled_at` (there `DATE+HOUR` joins two columns). *units*: channel -> unit.
    *start* and *step_ms* stamp the rows anew; *start* alone moves them so that the first one is then; *shift_ms* moves
    them by so much. *zone* is that of times without an offset.

    Raises
    ------
    BadDocument
        With everything that is wrong: no such file, a column that is not in it, no time and no restamping, ...
    """
    faults: list[Fault] = []
    names = {"site": site, "stack": stack} | ({} if instrument is None else {"instrument": instrument})
    for what, name in names.items():
        if not is_identifier(name):
            faults.append(Fault(what, f"must be a name of 1 to 64 of A-Z a-z 0-9 _ -, got {name!r}"))
    if speed is not None and not (math.isfinite(speed) and speed > 0):
        faults.append(Fault("speed", f"must be a number above 0, got {speed!r}"))
    if rows_per_frame < 1:
        faults.append(Fault("rows_per_frame", f"must be at least 1, got {rows_per_frame}"))
    contents = inspect(file, faults)
    roles = _roles(contents.columns, mapping or {}, faults)
    for channel, unit in (units or {}).items():
        _check_unit(channel, unit, roles.channels.values(), faults)
    stamps = _stamps(roles.times, start, step_ms, shift_ms, zone, faults)
    if contents.columns and not stamps.columns and stamps.restamp is None and not faults:
        known = ", ".join(TIME_COLUMNS)
        fault = f"no column is named {known}: map one to {_SAMPLED_AT}, or stamp the rows with --from TIME --step 1h"
        faults.append(Fault("from", fault))
    if faults:
        raise BadDocument(str(file), faults)
    if start is not None and stamps.restamp is None:
        stamps = _beginning_at(file, stamps, start)
    if stamps.restamp is not None and interval_s is None and stamps.restamp.step_ms % 1000 == 0:
        interval_s = stamps.restamp.step_ms // 1000
    return ReplayPlan(
        file=file,
        site=site,
        stack=stack,
        channels=roles.channels,
        left_out=roles.left_out,
        stamps=stamps,
        units=dict(units or {}),
        fields=roles.fields,
        flags=roles.flags,
        interval_s=interval_s,
        instrument=instrument,
        speed=speed,
        rows_per_frame=rows_per_frame,
        rows=contents.rows,
        digest=contents.digest,
    )


def parse_mapping(pairs: Sequence[str], what: str = "map", wanted: str = "COLUMN=CHANNEL") -> dict[str, str]:
    """`["NOX=nox", ...]` as column -> channel; `BadDocument` names the pair that is none."""
    mapping: dict[str, str] = {}
    faults = []
    for pair in pairs:
        column, sign, channel = pair.rpartition("=")
        if not sign or not column or not channel:
            faults.append(Fault(what, f"must be {wanted}, got {pair!r}"))
        elif column in mapping:
            faults.append(Fault(what, f"{column!r} stands there twice"))
        mapping[column] = channel
    if faults:
        raise BadDocument("arguments", faults)
    return mapping


def read_rows(plan: ReplayPlan, reading: Reading) -> Generator[Row | None, None, None]:
    """The rows after those that *reading* has seen, and *reading* kept up to date; None for a row left out."""
    channels = [(column, name, unit_of(name, plan.units[name]) if name in plan.units else None)
                for column, name in plan.channels.items()]  # fmt: skip
    with closing(records(plan.file)) as found:
        for number, record in enumerate(found):
            if number < reading.rows:
                continue
            reading.rows = number + 1
            sampled_at_ms = plan.stamps.of(number, record)
            if sampled_at_ms is None:
                reading.not_stamped += 1
                yield None
                continue
            values: dict[str, float | None] = {}
            for column, channel, unit in channels:
                values[channel], ok = _number(record.get(column), unit)
                reading.not_numbers += not ok
            yield _row(plan, sampled_at_ms, values, record)


def _row(plan: ReplayPlan, sampled_at_ms: int, values: Mapping[str, float | None], record: Mapping[str, Any]) -> Row:
    claims = {name: _claim(name, record.get(column)) for column, name in plan.fields.items()}
    flags = {channel: _claim("flag", record.get(column)) for column, channel in plan.flags.items()}
    return Row(
        stack=plan.stack,
        sampled_at_ms=sampled_at_ms,
        values=values,
        interval_s=plan.interval_s,
        instrument=claims.get("instrument") or plan.instrument,
        state=claims.get("state"),
        flag=claims.get("flag"),
        flags={channel: flag for channel, flag in flags.items() if flag is not None},
    )


def _stamps(
    columns: tuple[str, ...],
    start: datetime | None,
    step_ms: int | None,
    shift_ms: int | None,
    zone: tzinfo | None,
    faults: list[Fault],
) -> Stamps:
    if start is None and step_ms is not None:
        faults.append(Fault("from", "restamping needs both --from and --step"))
    if start is not None and step_ms is None and not columns:
        faults.append(Fault("step", "the file has no times: restamping needs both --from and --step"))
    if start is not None and start.tzinfo is None:
        faults.append(Fault("from", f"needs an offset: {start.isoformat()}"))
    if step_ms is not None and step_ms < 1:
        faults.append(Fault("step", f"must be at least one millisecond, got {step_ms}"))
    if shift_ms is not None and start is not None:
        faults.append(Fault("shift", "and from are two ways of moving times: say one"))
    if faults or start is None or step_ms is None:
        return Stamps(columns=columns, zone=zone, shift_ms=shift_ms or 0)
    return Stamps(restamp=Restamp(round(start.timestamp() * 1000), step_ms))


def _beginning_at(file: Path, stamps: Stamps, start: datetime) -> Stamps:
    """*stamps* moved so that the first row that has a time has the time *start*."""
    with closing(records(file)) as found:
        times = (stamps.of(number, record) for number, record in enumerate(found))
        first = next((time for time in times if time is not None), None)
    return stamps if first is None else replace(stamps, shift_ms=round(start.timestamp() * 1000) - first)


@dataclass(slots=True)
class _Roles:
    """What each column of the file is."""

    channels: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    times: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def _roles(columns: Sequence[str], mapping: Mapping[str, str], faults: list[Fault]) -> _Roles:
    roles = _Roles()
    if not columns:
        if not faults:
            faults.append(Fault("", "has no columns"))
        return roles
    for column, role in mapping.items():
        _assign(roles, columns, column, role, faults)
    taken = {*mapping, *roles.times}
    given = {*roles.channels.values(), *roles.fields.values()}
    for column in columns:
        name = column.lower()
        if column in taken or name in given:
            continue
        if name in CHANNELS:
            roles.channels[column] = name
            given.add(name)
        elif name in _ROW_FIELDS:
            roles.fields[column] = name
            given.add(name)
    roles.times = roles.times or time_columns([column for column in columns if column not in mapping])
    _check_roles(roles, columns, faults)
    named = {*roles.channels, *roles.fields, *roles.flags, *roles.times}
    roles.left_out = tuple(column for column in columns if column not in named)
    return roles


def _assign(roles: _Roles, columns: Sequence[str], column: str, role: str, faults: list[Fault]) -> None:
    parts = tuple(column.split("+")) if role == _SAMPLED_AT and column not in columns else (column,)
    there = ", ".join(columns)
    faults.extend(
        Fault("map", f"column {part!r} is not in the file; its columns are {there}")
        for part in parts
        if part not in columns
    )
    channel = role.removesuffix(_OF_FLAG)
    if role == _SAMPLED_AT:
        roles.times = parts
    elif role in _ROW_FIELDS:
        roles.fields[column] = role
    elif not is_identifier(channel) or channel in _RESERVED:
        faults.append(Fault("map", f"{role!r} is no channel; channels are {', '.join(CHANNELS)}"))
    elif role != channel:
        roles.flags[column] = channel
    else:
        roles.channels[column] = channel


def _check_roles(roles: _Roles, columns: Sequence[str], faults: list[Fault]) -> None:
    for what, names in (("channel", roles.channels), ("field", roles.fields), ("flag of", roles.flags)):
        for name in sorted(set(names.values())):
            sources = [column for column, role in names.items() if role == name]
            if len(sources) > 1:
                faults.append(Fault("map", f"{what} {name!r} has several columns: {', '.join(sources)}"))
    faults.extend(
        Fault("map", f"the file has several columns named {column!r}")
        for column in (*roles.channels, *roles.fields, *roles.flags, *roles.times)
        if columns.count(column) > 1
    )
    if not roles.channels:
        faults.append(Fault("map", f"no column becomes a channel: map some of {', '.join(columns)}"))


def _check_unit(channel: str, unit: str, channels: Any, faults: list[Fault]) -> None:
    if channel not in channels:
        faults.append(Fault("unit", f"no column becomes channel {channel!r}"))
        return
    try:
        unit_of(channel, unit)
    except BadDocument as error:
        faults.extend(error.faults)


def _number(value: Any, unit: Unit | None) -> tuple[float | None, bool]:
    """The number in the unit of its channel, and False where there was something that is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, True
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None, False
    if unit is not None:
        number = unit.to_channel(number)
    return (number, True) if math.isfinite(number) else (None, False)


def _claim(name: str, value: Any) -> str | None:
    text = str(value or "").strip()
    known = {"flag": FLAGS, "state": STATES}.get(name)
    return text if text and (text in known if known is not None else is_identifier(text)) else None
