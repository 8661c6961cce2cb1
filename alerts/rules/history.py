"""What the rules on a stack's hours look at: its hours in a row, as values and verdicts, and what was said about them.

A history is cut from committed rows alone, so the same data give the same history anywhere; `now` is an argument. Every
array has shape (n_hours,) and the same places: place `i` is the hour `[start[i], start[i] + 1 h)`. The hours follow
one another without a gap; an hour without any row has `outlet["rows"]` 0 and NaN elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plant.packs import Pack
from plant.periods import Instants
from plant.readings import Counts, Truths, Values
from plant.register import Site, Stack
from plant.verdicts import Verdict

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictHours:
    """One pollutant under one pack; NaN and None where an hour has no verdict (no row, or not in force)."""

    verdict: Texts  #: a `plant.verdicts.Verdict`, or None
    reason: Texts  #: a `plant.verdicts.Reason`, or None
    corrected: Values  #: mg/m3 at base oxygen
    limit: Values  #: mg/m3
    mean: Values  #: mg/m3, dry, standard state
    o2: Values  #: vol %, dry, over the same minutes
    mass_kg: Values
    valid_minutes: Counts
    claimed: Truths  #: excluded or undecided by the plant's own unaccepted claims
    revision: Counts  #: of the verdict; 0 where there is none

    @classmethod
    def none(cls, n_hours: int) -> VerdictHours:
        """Hours without a verdict."""
        nothing, nan = np.full(n_hours, None, dtype=object), np.full(n_hours, np.nan)
        zero = np.zeros(n_hours, dtype=np.int64)
        return cls(
            verdict=nothing,
            reason=nothing,
            corrected=nan,
            limit=nan,
            mean=nan,
            o2=nan,
            mass_kg=nan,
            valid_minutes=zero,
            claimed=np.zeros(n_hours, dtype=bool),
            revision=zero,
        )

    def is_(self, verdict: Verdict) -> Truths:
        found: Truths = self.verdict == verdict
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`[start, end)` of a mark or an order, in microseconds since the epoch; `end` None: it goes on."""

    start: int
    end: int | None
    kind: str  #: of a mark: `stopped`, `calibration`, ...; of an order: `suspend`, `restrict`, `curtail`
    status: str = ""  #: of a mark: `pending`, `accepted`, `rejected`
    detail: Mapping[str, Any] = field(default_factory=dict)  #: what the evidence quotes: id, filed_at, units, mode, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Hours of one stack in a row, up to the running one."""

    site: Site
    stack: Stack
    packs: tuple[Pack, ...]
    now: int  #: microseconds since the epoch
    start: Instants
    ended: Truths  #: by the clock; of a running hour the values still move
    outlet: Mapping[str, Values]  #: `plant.features.OUTLET`: rows, covered_s, stopped_s, gap_s, ...
    channels: Mapping[tuple[str, str], Mapping[str, Values]]
    """By (instrument, channel): `plant.features.CHANNEL`, of the values as sent."""
    verdicts: Mapping[tuple[str, str], VerdictHours]  #: by (pack, pollutant)
    unread: frozenset[int] = frozenset()
    """Places of hours without a row here of which rows have come and are not judged yet: nothing is known of them."""
    marks: tuple[Span, ...] = ()
    orders: tuple[Span, ...] = ()
    conflicts: Mapping[str, Counts] = field(default_factory=dict)  #: by channel, rows with two values of a revision
    reported: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)
    """By (source, channel, figure), figure `avg` or `corrected_avg`: hour means that a logger or a platform holds."""
    signals: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)
    """By (unit, signal, figure), figure `mean`, `low` or `high`: process values of the units that the stack serves."""
    siblings: Mapping[tuple[str, str, str], Mapping[str, Values]] = field(default_factory=dict)
    """By (stack, instrument, channel), of the other stacks of the site: the features `block0` .. `block5`."""
    records: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By kind of instrument record (`calibration`, `comparison`, `parameter`): when, in microseconds, rising."""
    changes: tuple[Span, ...] = ()
    """Changes of instruments' parameters, in the order of time; kind `register` or `reported`; `end` is the start."""
    mass_before: Mapping[str, float] = field(default_factory=dict)
    """By pollutant, kg in the local year before `start[0]`: a sum of hours in whole grams."""

    @property
    def n_hours(self) -> int:
        return int(self.start.size)

    def value(self, instrument: str, channel: str, feature: str) -> Values:
        """One feature of a channel; NaN throughout where it was never sent."""
        features = self.channels.get((instrument, channel))
        return np.full(self.n_hours, np.nan) if features is None else features[feature]
