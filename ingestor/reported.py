"""Frames of the kinds `reported_mean` and `signal`, read row by row: few, and each stands or falls as a whole.

A row that cannot be taken is refused with its reason and its neighbours stay. A column that nobody knows refuses the
frame: it waits in the quarantine, whole, for a version that knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ingestor import cells
from ingestor.cells import Bad, named, shown
from ingestor.frames import Frame, frame_of
from ingestor.rows import Refusal, RowReader, refusal
from plant.errors import Undecodable
from plant.reports import KINDS, LOGGER, MEAN_VALUES, REPORTED_MEAN, SIGNAL, SOURCES, Kind, Report

LONGEST_MEAN_S: Final = 366 * 86_400
KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    REPORTED_MEAN: ("stack", "source", "sampled_at", "interval_s", "channel", *MEAN_VALUES, "flag", "revision"),
    SIGNAL: ("sampled_at", "signal", "value", "unit", "stack", "flag", "revision"),
}
_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = {
    REPORTED_MEAN: ("stack", "interval_s", "channel"),
    SIGNAL: ("signal",),
}


def kind_of(head: Mapping[str, Any]) -> Kind | None:
    """The kind that a payload says it is of; None for measurements.

    Raises
    ------
    Undecodable
        If nobody knows it.
    """
    name = head.get("kind")
    if name is None or name == "measurement":
        return None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Undecodable(f"kind {shown(name)} is none of measurement {' '.join(KINDS)}")
    return kind


def report_frame(document: Mapping[str, Any], kind: Kind) -> Frame:
    """The columns of *document*, each of them one that *kind* has."""
    frame = frame_of(document, KEYS[kind])
    for name in frame.channels:
        raise Undecodable(f"{name} is no column of a {kind.name}")
    for key in _NEEDED[kind]:
        if frame.column(key) is None:
            raise Undecodable(f"a frame of kind {kind.name} without {key}")
    return frame


def read_reports(frame: Frame, kind: Kind, reader: RowReader) -> tuple[list[Report], list[Refusal]]:
    """The good rows of *frame*, and what became of the others, in their order."""
    good: list[Report] = []
    refused: list[Refusal] = []
    for index in range(frame.n_rows):
        row = frame.row(index)
        try:
            good.append(_READ[kind](row, reader))
        except Bad as error:
            refused.append(refusal(index, row, str(error)))
    return good, refused


def _mean(row: Mapping[str, Any], reader: RowReader) -> Report:
    key = (
        reader.stack(row).stack_id,
        _source(row.get("source")),
        cells.name("channel", row["channel"]),
        cells.interval(row["interval_s"], LONGEST_MEAN_S),
        reader.sampled_at(row),
    )
    return _report(REPORTED_MEAN, key, row, reader)


def _source(value: Any) -> str:
    if value is None:
        return LOGGER
    if value not in SOURCES:
        raise Bad(f"source {shown(value)} is none of {' '.join(SOURCES)}")
    return str(value)


def _signal(row: Mapping[str, Any], reader: RowReader) -> Report:
    unit, stack = row.get("unit"), row.get("stack")
    if unit is not None and (not isinstance(unit, str) or unit not in reader.site.units):
        raise Bad(f"unknown unit {shown(unit)}")
    if stack is not None:
        reader.stack(row)
    key = (reader.site.site_id, unit or "", stack or "", cells.name("signal", row["signal"]), reader.sampled_at(row))
    return _report(SIGNAL, key, row, reader)


def _report(kind: Kind, key: tuple[Any, ...], row: Mapping[str, Any], reader: RowReader) -> Report:
    flag = cells.letter("flag", row.get("flag"), "N")
    values = [_value(name, row.get(name)) for name in kind.content if name != "flag"]
    revision = 0 if row.get("revision") is None else named("revision", cells.revision, row["revision"])
    return Report(kind, key, revision, reader.sent_at, (*values, flag))


def _value(name: str, value: Any) -> float | None:
    """One zero: what is the same must have the same bytes."""
    number = cells.number(name, value)
    return None if number is None else number + 0.0


_READ: Final[Mapping[Kind, Callable[[Mapping[str, Any], RowReader], Report]]] = {REPORTED_MEAN: _mean, SIGNAL: _signal}
