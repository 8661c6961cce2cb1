"""What a packet says, as rows of ours by kind of frame, and what of it is in none of them.

Filled by `edge.hj212.rows`; its reasons are counted beside the faults of the codec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edge.sources import MEASUREMENT, REPORTED_MEAN, SIGNAL

Row = dict[str, Any]


class Why(StrEnum):
    """Why something of a packet is in no row, or is there otherwise than it was sent. Counted like faults."""

    NOT_INTACT = "not_intact"  #: the check value is wrong
    NO_TIME = "no_time"  #: no DataTime, or none that can be read
    NO_STACK = "no_stack"  #: the site says of no stack or unit where it belongs
    OTHER_SYSTEM = "other_system"  #: ST is not that of an air source: not the stack's own pollutants
    NAME = "name"  #: a code that cannot be the name of a channel
    SUFFIX = "suffix"  #: not a value that this command has
    NOT_A_NUMBER = "not_a_number"  #: the value became null
    CONTRADICTED = "contradicted"  #: two different values for one thing: it became null
    SECOND_CODE = "second_code"  #: another code of the packet gave this channel its value already
    TEXT = "text"  #: no row has room for it: vendor flags (-EFlag), serial numbers, logs
    TOO_MANY = "too_many"  #: more codes than a packet can have; those behind are left out
    FLAG_UNKNOWN = "flag_unknown"  #: a flag that is not in table 8 or the site's own: the values became null
    UNIT_UNKNOWN = "unit_unknown"  #: an accumulated amount of a code that is not in table 4.9
    KEY_CASE = "key_case"  #: capitals where the standard has none, or the other way round; taken all the same
    PERIOD_UNALIGNED = "period_unaligned"  #: DataTime is not where such a period begins; kept as it is


@dataclass(frozen=True, slots=True)
class Left:
    """One item that is in no row, or was changed. `name`: as it was sent, its value left out."""

    why: Why
    name: str


@dataclass(slots=True)
class Mapped:
    """What a packet says, as rows by kind of frame."""

    measurements: list[Row] = field(default_factory=list)
    means: list[Row] = field(default_factory=list)
    signals: list[Row] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def by_kind(self) -> Iterator[tuple[str, list[Row]]]:
        """Kind of frame and its rows, those that there are: what `Feed.put` takes."""
        pairs = ((MEASUREMENT, self.measurements), (REPORTED_MEAN, self.means), (SIGNAL, self.signals))
        return ((kind, rows) for kind, rows in pairs if rows)

    def left_by_kind(self) -> Counter[str]:
        return Counter(str(left.why) for left in self.left)
