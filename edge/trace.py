"""A recorded trace, CSV or Parquet, as rows on the wire: what to read and how, checked before the first row.

Reading is deterministic: the same file and the same plan give the same rows, which is what makes a replay
resumable. Pacing and publishing are `edge.replay`'s.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from plant.channels import CHANNELS, FLAGS, STATES
from plant.errors import BadDocument, Fault
from plant.identifiers import is_identifier
from plant.wire import Row

TIME_COLUMNS: Final = ("sampled_at", "time", "timestamp")
_ROW_FIELDS: Final = ("flag", "state", "instrument")
_OF_THE_FRAME: Final = ("schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at")
_OF_THE_ROW: Final = ("stack", "sampled_at", "interval_s", "flag", "flags", "state", "instrument", "revision")
_RESERVED: Final = frozenset((*_OF_THE_FRAME, *_OF_THE_ROW))
_STEP: Final = re.compile(r"(\d+)\s*(ms|s|m|min|h|d)")
_STEP_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_PARQUET_ROWS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Restamp:
    """Row number n of the file is given the time `from_ms + n * step_ms`."""

    from_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What to replay, as checked by `plan_replay`."""

    file: Path
    site: str
    stack: str
    channels: Mapping[str, str]  #: column of the file -> channel
    left_out: tuple[str, ...]  #: columns that become nothing
    time_column: str | None = None
    restamp: Restamp | None = None
    fields: Mapping[str, str] = field(default_factory=dict)  #: column -> flag, state or instrument
    interval_s: int | None = None  #: what one row stands for; None leaves it to the register
    instrument: str | None = None
    speed: float | None = None  #: times real time; None is as fast as receipts come
    rows_per_frame: int = 200
    rows: int = 0  #: in the file
    digest: str = ""  #: of the file's bytes

    @property
    def source(self) -> str:
        """The name under which the outbox keeps this replay's position: same rows, same name."""
        restamp = None if self.restamp is None else (self.restamp.from_ms, self.restamp.step_ms)
        what = (self.site, self.stack, self.instrument, self.interval_s, sorted(self.channels.items()), restamp)
        text = json.dumps([self.digest, what, self.time_column, sorted(self.fields.items())])
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
    start: datetime | None = None,
    step_ms: int | None = None,
    speed: float | None = None,
    interval_s: int | None = None,
    instrument: str | None = None,
    rows_per_frame: int = 200,
) -> ReplayPlan:
    """A checked plan. A column named like a channel is that channel; *mapping* (column -> channel) adds and overrides.

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
    restamp = _restamp(start, step_ms, faults)
    columns, rows, digest = _inspect(file, faults)
    channels, left_out = _channels(columns, mapping or {}, faults)
    time_column = None
    if restamp is None and columns:
        time_column = next((c for name in TIME_COLUMNS for c in columns if c.lower() == name), None)
        if time_column is None and start is None and step_ms is None:
            known = ", ".join(TIME_COLUMNS)
            faults.append(Fault("from", f"no column is named {known}: stamp the rows with --from TIME --step 1h"))
    if faults:
        raise BadDocument(str(file), faults)
    fields = {c: c.lower() for c in columns if c.lower() in _ROW_FIELDS and c not in channels}
    if restamp is not None and interval_s is None and restamp.step_ms % 1000 == 0:
        interval_s = restamp.step_ms // 1000
    return ReplayPlan(
        file=file,
        site=site,
        stack=stack,
        channels=channels,
        left_out=tuple(c for c in left_out if c != time_column and c not in fields),
        time_column=time_column,
        restamp=restamp,
        fields=fields,
        interval_s=interval_s,
        instrument=instrument,
        speed=speed,
        rows_per_frame=rows_per_frame,
        rows=rows,
        digest=digest,
    )


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """`["NOX=nox", ...]` as column -> channel; `BadDocument` names the pair that is none."""
    mapping: dict[str, str] = {}
    faults = []
    for pair in pairs:
        column, sign, channel = pair.rpartition("=")
        if not sign or not column or not channel:
            faults.append(Fault("map", f"must be COLUMN=CHANNEL, got {pair!r}"))
        elif column in mapping:
            faults.append(Fault("map", f"column {column!r} is mapped twice"))
        mapping[column] = channel
    if faults:
        raise BadDocument("arguments", faults)
    return mapping


def parse_step(text: str) -> int:
    """`1h`, `10s`, `1min`, `1d` in milliseconds."""
    found = _STEP.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise BadDocument("arguments", [Fault("step", f"must be a span such as 10s, 1min, 1h, 1d; got {text!r}")])
    return int(found[1]) * _STEP_MS[found[2]]


def parse_time(text: str, what: str = "from") -> datetime:
    """An ISO 8601 time with its offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadDocument("arguments", [Fault(what, f"must be a time, got {text!r}")]) from None
    if moment.tzinfo is None:
        raise BadDocument("arguments", [Fault(what, f"needs an offset, such as {text}+08:00 or {text}Z")])
    return moment


def read_rows(plan: ReplayPlan, reading: Reading) -> Generator[Row | None, None, None]:
    """The rows after those that *reading* has seen, and *reading* kept up to date; None for a row left out."""
    records = _parquet(plan.file) if _is_parquet(plan.file) else _csv(plan.file)
    for number, record in enumerate(records):
        if number < reading.rows:
            continue
        reading.rows = number + 1
        if plan.restamp is not None:
            sampled_at_ms: int | None = plan.restamp.from_ms + number * plan.restamp.step_ms
        else:
            sampled_at_ms = _epoch_ms(record.get(plan.time_column or ""))
        if sampled_at_ms is None:
            reading.not_stamped += 1
            yield None
            continue
        values: dict[str, float | None] = {}
        for column, channel in plan.channels.items():
            value, ok = _number(record.get(column))
            values[channel] = value
            reading.not_numbers += not ok
        claims = {name: _claim(name, record.get(column)) for column, name in plan.fields.items()}
        yield Row(
            stack=plan.stack,
            sampled_at_ms=sampled_at_ms,
            values=values,
            interval_s=plan.interval_s,
            instrument=claims.get("instrument") or plan.instrument,
            state=claims.get("state"),
            flag=claims.get("flag"),
        )


def _restamp(start: datetime | None, step_ms: int | None, faults: list[Fault]) -> Restamp | None:
    if (start is None) != (step_ms is None):
        faults.append(Fault("from" if start is None else "step", "restamping needs both --from and --step"))
    if start is not None and start.tzinfo is None:
        faults.append(Fault("from", f"needs an offset: {start.isoformat()}"))
    if step_ms is not None and step_ms < 1:
        faults.append(Fault("step", f"must be at least one millisecond, got {step_ms}"))
    if faults or start is None or step_ms is None:
        return None
    return Restamp(round(start.timestamp() * 1000), step_ms)


def _inspect(file: Path, faults: list[Fault]) -> tuple[list[str], int, str]:
    """Columns, number of rows and digest of *file*."""
    if not file.is_file():
        faults.append(Fault("", "there is no such file"))
        return [], 0, ""
    try:
        digest = hashlib.sha256()
        with file.open("rb") as raw:
            while block := raw.read(1 << 20):
                digest.update(block)
        if _is_parquet(file):
            from pyarrow import parquet  # only the simulator's extra brings it

            with parquet.ParquetFile(file) as trace:
                return list(trace.schema_arrow.names), int(trace.metadata.num_rows), digest.hexdigest()
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            lines = csv.reader(text)
            columns = [name.strip() for name in next(lines, [])]
            return columns, sum(1 for line in lines if line), digest.hexdigest()
    except ModuleNotFoundError:
        faults.append(Fault("", "is Parquet, which needs the extra: pip install 'stackwatch[sim]'"))
        return [], 0, ""
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are ValueError or OSError
        faults.append(Fault("", f"cannot be read: {error}"))
        return [], 0, ""


def _channels(
    columns: Sequence[str], mapping: Mapping[str, str], faults: list[Fault]
) -> tuple[dict[str, str], list[str]]:
    """Column -> channel, and the columns without one."""
    if not columns:
        if not faults:
            faults.append(Fault("", "has no columns"))
        return {}, []
    there = ", ".join(columns)
    for column, channel in mapping.items():
        if column not in columns:
            faults.append(Fault("map", f"column {column!r} is not in the file; its columns are {there}"))
        if not is_identifier(channel) or channel in _RESERVED:
            faults.append(Fault("map", f"{channel!r} is no channel; channels are {', '.join(CHANNELS)}"))
    channels = dict(mapping)
    taken = set(mapping.values())
    for column in columns:
        if column not in channels and column.lower() in CHANNELS and column.lower() not in taken:
            channels[column] = column.lower()
            taken.add(column.lower())
    for channel in sorted(taken):
        sources = [column for column, name in channels.items() if name == channel]
        if len(sources) > 1:
            faults.append(Fault("map", f"channel {channel!r} has several columns: {', '.join(sources)}"))
    for column in channels:
        if columns.count(column) > 1:
            faults.append(Fault("map", f"the file has several columns named {column!r}"))
    if not channels:
        faults.append(Fault("map", f"no column becomes a channel: map some of {there}"))
    return channels, [column for column in columns if column not in channels]


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _csv(file: Path) -> Generator[Mapping[str, Any], None, None]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        lines = csv.reader(text)
        columns = [name.strip() for name in next(lines, [])]
        for line in lines:
            if line:
                yield dict(zip(columns, line, strict=False))


def _parquet(file: Path) -> Generator[Mapping[str, Any], None, None]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as trace:
        for batch in trace.iter_batches(batch_size=_PARQUET_ROWS):
            yield from batch.to_pylist()


def _number(value: Any) -> tuple[float | None, bool]:
    """The number, and False where there was something that is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, True
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None, False
    return (number, True) if math.isfinite(number) else (None, False)


def _claim(name: str, value: Any) -> str | None:
    text = str(value or "").strip()
    known = {"flag": FLAGS, "state": STATES}.get(name)
    return text if text and (text in known if known is not None else is_identifier(text)) else None


def _epoch_ms(value: Any) -> int | None:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000) if value.tzinfo is not None else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value or "").strip()
    if re.fullmatch(r"-?\d{9,15}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(moment.timestamp() * 1000) if moment.tzinfo is not None else None
