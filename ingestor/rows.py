"""Rows one by one: shapes 1 and 2, and what a frame's columns did not settle at a glance.

A bad row is refused with its reason and its neighbours stay. These are the words of every refusal of a row: a frame
that is read by columns (`ingestor.frames`) hands each row that it doubts to `RowReader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ingestor import cells
from ingestor.cells import Bad, named, shown
from plant.blocks import Block, IncomingRow, block_of
from plant.merging import Version
from plant.periods import MINUTE, SECOND
from plant.topics import Speaker

AHEAD_US: Final = 5 * MINUTE  #: a row further in the future than this is refused, except at a simulated site

HEAD: Final = ("schema", "kind", "session", "seq", "low", "rows_before", "dropped_before", "sent_at", "site", "edge")
ROW_KEYS: Final = (
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
_NO_CHANNEL: Final = frozenset({*HEAD, *ROW_KEYS})


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
    units: frozenset[str] = frozenset()
    stack_ids: Mapping[str, int] = field(init=False, repr=False)  #: of `stacks`, for columns of names
    intervals_s: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stack_ids", {code: stack.stack_id for code, stack in self.stacks.items()})
        object.__setattr__(self, "intervals_s", {code: stack.interval_s for code, stack in self.stacks.items()})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken: its place in the message, why, and its time where that could be read."""

    row: int
    reason: str
    sampled_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReader:
    """Reads the rows of one message against the register and the clock."""

    site: KnownSite
    speaker: Speaker
    newest: int | None  #: microseconds since the epoch; None takes rows from any time
    sent_at: int | None

    def read(self, row: Any) -> IncomingRow:
        """*row* in the form of shape 1.

        Raises
        ------
        Bad
            If it cannot be taken; the text is the reason.
        """
        if not isinstance(row, dict):
            raise Bad(f"a measurement is a JSON object, not {shown(row)}")
        known = self.stack(row)
        sampled_at = self.sampled_at(row)
        check_speaker(row, self.speaker)
        if row.get("kind") not in (None, "measurement"):
            raise Bad(f"is of kind {shown(row['kind'])}, which comes in a frame by columns")
        for key in row:
            cells.check_channel_name(key)
        values = {key: cells.number(key, value) for key, value in row.items() if key not in _NO_CHANNEL}
        flag = cells.letter("flag", row.get("flag"), "N")
        instrument = cells.instrument(row.get("instrument"))
        version = Version(
            revision=0 if row.get("revision") is None else named("revision", cells.revision, row["revision"]),
            sent_at=self.sent_at if row.get("sent_at") is None else named("sent_at", cells.instant, row["sent_at"]),
            interval_s=known.interval_s if row.get("interval_s") is None else cells.interval(row["interval_s"]),
            flag=flag,
            flags=cells.flags(row.get("flags"), flag),
            state=cells.state(row.get("state")),
            # Adding zero leaves one zero: a value that is the same must have the same bytes.
            values={channel: value + 0.0 for channel, value in values.items() if value is not None},
        )
        return IncomingRow(known.stack_id, instrument, sampled_at, version)

    def stack(self, row: Mapping[str, Any]) -> KnownStack:
        known = self.site.stacks.get(row["stack"]) if isinstance(row.get("stack"), str) else None
        if known is None:
            raise Bad(f"unknown stack {shown(row.get('stack'))}" if "stack" in row else "names no stack")
        return known

    def sampled_at(self, row: Mapping[str, Any]) -> int:
        if row.get("sampled_at") is None:
            raise Bad("has no sampled_at")
        sampled_at = named("sampled_at", cells.instant, row["sampled_at"])
        if self.newest is not None and sampled_at > self.newest:
            # The same words for every such row: a frame of them is one line of a receipt.
            raise Bad(f"sampled_at is more than {AHEAD_US // SECOND} s ahead of the system's clock")
        return sampled_at


def read_rows(rows: Sequence[Any], reader: RowReader) -> tuple[Block, list[Refusal]]:
    """Shape 2, and shape 1 as a list of one."""
    good: list[IncomingRow] = []
    refused: list[Refusal] = []
    for index, row in enumerate(rows):
        try:
            good.append(reader.read(row))
        except Bad as error:
            refused.append(refusal(index, row, str(error)))
    return block_of(good), refused


def refusal(index: int, row: Any, reason: str) -> Refusal:
    """The refusal of *row*, with its time where that can be read."""
    at: int | None
    try:
        at = cells.instant(row["sampled_at"])
    except (Bad, KeyError, TypeError):
        at = None
    return Refusal(index, reason, at)


def check_speaker(named_in: Mapping[str, Any], speaker: Speaker) -> None:
    """The topic says who speaks; `Bad` where a payload names another."""
    for key, name in (("site", speaker.site), ("edge", speaker.edge)):
        if named_in.get(key) is not None and named_in[key] != name:
            raise Bad(f"names {key} {shown(named_in[key])}, its topic says {name!r}")
