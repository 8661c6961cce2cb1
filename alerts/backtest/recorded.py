"""Recorded history in a folder: Parquet or CSV files of rows, read month by month, stack by stack.

One file holds rows of one site, in the columns of a measurement: `stack`, `sampled_at`, and whatever there is of
`interval_s`, `instrument`, `flag`, `flag_CHANNEL`, `state` and the channels. A column `site` names the site; without
it the file's name does (`tangshan-1.parquet`). This is what `stackwatch simulate --out` writes. What identifies a row,
and what counts of two, is the ingestor's work: here the first of two rows of one instant stands, and where they differ
the channel has a conflict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        """First and last instant of a site's rows; None where it has none. [us]"""
        first, last = [], []
        for recording in self.recordings:
            if recording.site.code == site:
                times = _read(recording, None, None, ("sampled_at",))["sampled_at"]
                if len(times):
                    ends = pc.min_max(times.cast(pa.int64()))
                    first.append(ends["min"].as_py())
                    last.append(ends["max"].as_py())
        return (min(first), max(last)) if first else None

    def read(self, site: str, *, first: int, end: int, stacks: Sequence[str] = ()) -> Iterator[Recorded]:
        """The rows that touch `[first, end)` (microseconds) of each stack of *site*, or of those of *stacks*.

        By instrument, sorted. No row stands for more than an hour, so the hour before *first* is read too (and the one
        behind *end*, for rows that are stamped at their end).
        """
        recording = next(item for item in self.recordings if item.site.code == site)
        table = _read(recording, first - HOUR, end + HOUR, None, stacks)
        by_stack = _split(table)
        for stack in recording.site.stacks:
            part = by_stack.get(stack.code)
            if part is not None:
                yield _recorded(part, stack)


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
    names = set(_names(file))
    return [Fault(file.name, f"has no column {name!r}") for name in ("stack", "sampled_at") if name not in names]


def _names(file: Path) -> Sequence[str]:
    if _is_csv(file):
        with pa_csv.open_csv(file) as reader:
            names: list[str] = reader.schema.names
            return names
    return list(pq.read_schema(file).names)


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
    if _is_csv(file):
        options = pa_csv.ConvertOptions(
            include_columns=wanted, column_types=_csv_types(wanted), strings_can_be_null=True
        )
        table = pa_csv.read_csv(file, convert_options=options)
    else:
        table = pq.read_table(file, columns=list(wanted), filters=_filter(file, first, end, stacks))
    at = table["sampled_at"].cast(_TIME)
    table = table.set_column(table.schema.get_field_index("sampled_at"), "sampled_at", at)
    if _is_csv(file) and first is not None and end is not None:
        micros = at.cast(pa.int64())
        taken = pc.and_(pc.greater_equal(micros, first), pc.less(micros, end))
        if stacks:
            taken = pc.and_(taken, pc.is_in(table["stack"], value_set=pa.array(stacks)))
        table = table.filter(taken)
    return table


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
