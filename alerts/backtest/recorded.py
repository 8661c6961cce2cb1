"""Recorded history in a folder: Parquet or CSV files of rows, read month by month, stack by stack.

One file holds rows of one site, in the columns of a measurement: `stack`, `sampled_at`, and whatever there is of
`interval_s`, `instrument`, `flag`, `flag_CHANNEL`, `state` and the channels. The file's name names the site
(`tangshan-1.parquet`). This is what `stackwatch simulate --out` writes. What identifies a row, and what counts of two,
is the ingestor's work: here the first of two rows of one instant stands, and where they differ the channel has a
conflict. Rows of stacks and instruments that are not registered are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from plant.channels import CHANNELS, FLAGS, NOT_RUNNING
from plant.errors import BadDocument, Fault
from plant.periods import HOUR, SECOND, Instants
from plant.readings import NORMAL, Letters, Rows
from plant.register import Register, Site, Stack

SUFFIXES: Final = (".parquet", ".pq", ".csv")
MAIN: Final = "main"
LONGEST_S: Final = 3600  #: that one row may stand for
_TIME: Final = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Recording:
    """One file, and the site that its rows are of."""

    site: Site
    file: Path

    @property
    def rows(self) -> int:
        if not _is_csv(self.file):
            return int(pq.read_metadata(self.file).num_rows)
        return int(_read(self, None, None, ("sampled_at",)).num_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a folder holds of one stack in some time."""

    stack: Stack
    rows: Mapping[str, Rows]  #: by instrument
    conflicts: Mapping[str, Instants]  #: by channel, the instants that have two values


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The recordings of a folder, each of a registered site."""

    recordings: tuple[Recording, ...]

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(recording.site for recording in self.recordings)

    def only(self, sites: Sequence[str]) -> Folder:
        """The recordings of *sites*."""
        return Folder(recordings=tuple(item for item in self.recordings if item.site.code in sites))

    def span(self, site: str) -> tuple[int, int] | None:
        """First and last instant of a site's rows; None where it has none. [us]

        Raises
        ------
        BadDocument
            For a row that has no time, or one before 1970.
        """
        recording = self._of(site)
        times = _read(recording, None, None, ("sampled_at",))["sampled_at"].cast(pa.int64())
        if not len(times):
            return None
        ends = pc.min_max(times)
        if times.null_count or ends["min"].as_py() < 0:
            says = "sampled_at: a row has no time, or one before 1970"
            raise BadDocument(recording.file.name, [Fault("", says)])
        return ends["min"].as_py(), ends["max"].as_py()

    def read(self, site: str, *, first: int, end: int, stacks: Sequence[str] = ()) -> Iterator[Recorded]:
        """The rows that touch `[first, end)` (microseconds) of each stack of *site*, or of those of *stacks*.

        By instrument, sorted. No row stands for more than an hour, so the hour before *first* is read too (and the one
        behind *end*, for rows that are stamped at their end); a calibration still touches while its gas is in the line.
        """
        recording = self._of(site)
        settling = max((stack.settle_s for stack in recording.site.stacks), default=0) * SECOND
        table = _read(recording, first - HOUR - settling, end + HOUR, None, stacks)
        by_stack = _split(table)
        for stack in recording.site.stacks:
            part = by_stack.get(stack.code)
            if part is not None:
                with _read_from(recording.file):
                    recorded = _recorded(part, stack)
                yield recorded

    def _of(self, site: str) -> Recording:
        return next(item for item in self.recordings if item.site.code == site)


def open_folder(folder: Path, register: Register) -> Folder:
    """The recordings in *folder* of the sites in *register*.

    Raises
    ------
    BadDocument
        For a folder without a recording, a file of an unregistered site or without the columns that a row needs.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise BadDocument(str(folder), [Fault("", "has no *.parquet and no *.csv")])
    sites = {site.code: site for site in register.sites}
    faults: list[Fault] = []
    found: dict[str, Recording] = {}
    for file in files:
        code = file.stem
        if code not in sites:
            faults.append(Fault(file.name, f"is named for no registered site; there are {', '.join(sorted(sites))}"))
        elif code in found:
            faults.append(Fault(file.name, f"is a second file of site {code!r}"))
        else:
            faults += _missing(file)
            found[code] = Recording(sites[code], file)
    if faults:
        raise BadDocument(str(folder), faults)
    return Folder(recordings=tuple(found[code] for code in sorted(found)))


def _missing(file: Path) -> list[Fault]:
    """What is wrong with the columns of *file*."""
    names = _names(file)
    faults = [Fault(file.name, f"has no column {name!r}") for name in ("stack", "sampled_at") if name not in names]
    faults += [
        Fault(file.name, f"has column {name!r} twice") for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if not faults and not _is_csv(file):
        kind = pq.read_schema(file).field("sampled_at").type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            faults.append(Fault(file.name, f"sampled_at must be a timestamp with a zone, such as UTC, and is {kind}"))
    return faults


def _names(file: Path) -> Sequence[str]:
    with _read_from(file):
        if _is_csv(file):
            with pa_csv.open_csv(file) as reader:
                names: list[str] = reader.schema.names
                return names
        return list(pq.read_schema(file).names)


@contextmanager
def _read_from(file: Path) -> Iterator[None]:
    """What Arrow cannot read in *file*, said of it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise BadDocument(file.name, [Fault("", f"cannot be read: {error}")]) from error


def _is_csv(file: Path) -> bool:
    return file.suffix.lower() == ".csv"


def _read(
    recording: Recording,
    first: int | None,
    end: int | None,
    columns: Sequence[str] | None,
    stacks: Sequence[str] = (),
) -> Any:
    """The rows of `[first, end)` as a table, times as microseconds UTC."""
    file = recording.file
    wanted = columns or [name for name in _names(file) if _is_read(name)]
    with _read_from(file):
        if _is_csv(file):
            table = _read_csv(file, wanted, _taking(first, end, stacks))
        else:
            table = pq.read_table(file, columns=list(wanted), filters=_filter(file, first, end, stacks))
        at = table["sampled_at"].cast(_TIME)
        return table.set_column(table.schema.get_field_index("sampled_at"), "sampled_at", at)


def _read_csv(file: Path, wanted: Sequence[str], taking: Callable[[Any], Any] | None) -> Any:
    """What is taken of *file*, which is never in memory as a whole."""
    options = pa_csv.ConvertOptions(include_columns=wanted, column_types=_csv_types(wanted), strings_can_be_null=True)
    with pa_csv.open_csv(file, convert_options=options) as reader:
        taken = [batch if taking is None else batch.filter(taking(batch)) for batch in reader]
        return pa.Table.from_batches(taken, reader.schema)


def _taking(first: int | None, end: int | None, stacks: Sequence[str]) -> Callable[[Any], Any] | None:
    if first is None or end is None:
        return None

    def taken(batch: Any) -> Any:
        micros = batch["sampled_at"].cast(pa.int64())
        within = pc.and_(pc.greater_equal(micros, first), pc.less(micros, end))
        return pc.and_(within, pc.is_in(batch["stack"], value_set=pa.array(stacks))) if stacks else within

    return taken


def _is_read(name: str) -> bool:
    channel = name.removeprefix("flag_")
    return name in ("stack", "sampled_at", "interval_s", "instrument", "flag", "state") or channel in CHANNELS


def _csv_types(names: Sequence[str]) -> dict[str, Any]:
    words = {"stack", "instrument", "flag", "state"}
    types: dict[str, Any] = {name: pa.string() for name in names if name in words or name.startswith("flag_")}
    types |= {name: pa.float64() for name in names if name in CHANNELS}
    return {**types, "sampled_at": _TIME} | ({"interval_s": pa.int64()} if "interval_s" in names else {})


def _filter(file: Path, first: int | None, end: int | None, stacks: Sequence[str]) -> Any:
    """Lets Parquet leave out the row groups of other months; none where the whole file is wanted."""
    if first is None or end is None:
        return None
    schema = pq.read_schema(file)
    low, high = (pa.scalar(at, _TIME).cast(schema.field("sampled_at").type, safe=False) for at in (first, end))
    taken = (pc.field("sampled_at") >= low) & (pc.field("sampled_at") < high)
    return taken & pc.field("stack").isin(list(stacks)) if stacks else taken


def _split(table: Any) -> dict[str, Any]:
    """*table* by stack, each part by rising time."""
    words = pc.dictionary_encode(table["stack"].combine_chunks().cast(pa.string()))
    names, codes = words.dictionary.to_pylist(), words.indices.to_numpy(zero_copy_only=False)
    at = table["sampled_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((at, codes))
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {name: table.take(pa.array(order[edges[i] : edges[i + 1]])) for i, name in enumerate(names)}


def _recorded(table: Any, stack: Stack) -> Recorded:
    wanted = stack.ducts or stack.judged_from
    if "instrument" in table.column_names:
        instrument = pc.fill_null(table["instrument"].cast(pa.string()), MAIN)
        parts = {name: table.filter(pc.equal(instrument, name)) for name in wanted}
    else:
        parts = {MAIN: table}
    rows = {}
    conflicts: dict[str, Instants] = {}
    for name, part in parts.items():
        if part.num_rows:
            part, repeated = _once(part)
            rows[name] = _rows(part, stack)
            for channel, at in repeated.items():
                conflicts[channel] = np.concatenate([conflicts.get(channel, at[:0]), at])
    return Recorded(stack=stack, rows=rows, conflicts=conflicts)


def _once(table: Any) -> tuple[Any, dict[str, Instants]]:
    """*table* with the first of the rows of each instant; by channel, the instants at which another one differs."""
    at = table["sampled_at"].cast(pa.int64()).to_numpy()
    first = np.ones(at.size, dtype=bool)
    first[1:] = at[1:] != at[:-1]
    if first.all():
        return table, {}
    again = np.flatnonzero(~first)
    of = np.flatnonzero(first)[np.cumsum(first)[again] - 1]
    conflicts = {}
    for name in (name for name in table.column_names if name in CHANNELS):
        values = table[name].cast(pa.float64()).to_numpy()
        differs = ~np.isnan(values[again]) & ~np.isnan(values[of]) & (values[again] != values[of])
        if differs.any():
            conflicts[name] = np.unique(at[again[differs]])
    return table.filter(pa.array(first)), conflicts


def _rows(table: Any, stack: Stack) -> Rows:
    at = table["sampled_at"].cast(pa.int64()).to_numpy()
    n = at.size
    interval_s = _column(table, "interval_s", np.full(n, stack.interval_s, dtype=np.int64)).astype(np.int64)
    if interval_s.min() < 1 or interval_s.max() > LONGEST_S:
        says = f"a row of {stack.code} stands for another time than 1 to {LONGEST_S} seconds"
        raise BadDocument("interval_s", [Fault("", says)])
    row_flag = _letters(table, "flag", np.full(n, NORMAL, dtype=np.uint8))
    channels = [name for name in table.column_names if name in CHANNELS]
    return Rows(
        sampled_at=at - interval_s * SECOND if stack.stamped_at_end else at,
        interval_s=interval_s,
        not_running=_not_running(table, n),
        values={name: table[name].cast(pa.float64()).to_numpy() for name in channels},
        flags={
            name: _letters(table, f"flag_{name}", row_flag) for name in channels if f"flag_{name}" in table.column_names
        },
        row_flag=row_flag,
    )


def _column(table: Any, name: str, otherwise: Any) -> Any:
    if name not in table.column_names:
        return otherwise
    column = table[name]
    if not column.null_count:
        return column.to_numpy()
    return np.where(column.is_null().to_numpy(), otherwise, column.fill_null(0).to_numpy())


_LETTER: Final[Mapping[str, int]] = {flag: ord(flag) for flag in FLAGS}


def _letters(table: Any, name: str, otherwise: Letters) -> Letters:
    """A column of flags as letters; null means the default."""
    if name not in table.column_names:
        return otherwise
    words = pc.dictionary_encode(table[name].combine_chunks().cast(pa.string()))
    unknown = [word for word in words.dictionary.to_pylist() if word not in _LETTER and word is not None]
    if unknown:
        raise BadDocument(name, [Fault("", f"{unknown[0]!r} is no flag; there are {' '.join(sorted(FLAGS))}")])
    by_code = np.array([_LETTER[word] for word in words.dictionary.to_pylist()] or [NORMAL], dtype=np.uint8)
    codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: Letters = np.where(codes >= 0, by_code[codes], otherwise).astype(np.uint8)
    return found


def _not_running(table: Any, n: int) -> Any:
    if "state" not in table.column_names:
        return np.zeros(n, dtype=bool)
    states = pa.array(sorted(NOT_RUNNING))
    stopped = pc.is_in(table["state"].cast(pa.string()), value_set=states)
    return pc.fill_null(stopped, False).to_numpy()
