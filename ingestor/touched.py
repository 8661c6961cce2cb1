"""What new rows set in motion: the hours to be judged again, the newest row of a stack, a simulated site's clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ingestor.rows import KnownSite
from plant.blocks import Block, Indexes, Ints
from plant.periods import HOUR, SECOND, hour_starts, instant

StackHour = tuple[int, datetime]  #: stack_id, start of a local hour


@dataclass(frozen=True, slots=True)
class Clocks:
    """The newest row of each simulated site, and of each stack."""

    sites: dict[int, datetime]
    stacks: dict[int, datetime]


@dataclass(frozen=True, slots=True)
class _Stacks:
    """The stacks of a block; `place` is that of each row's among them."""

    stack_ids: list[int]
    place: Indexes

    @classmethod
    def of(cls, block: Block) -> _Stacks:
        stack_ids, place = np.unique(block.stack_id, return_inverse=True)
        return cls(stack_ids.tolist(), place)

    def newest(self, block: Block) -> npt.NDArray[Any]:
        newest = np.zeros(len(self.stack_ids), np.int64)
        np.maximum.at(newest, self.place, block.sampled_at)
        return newest


def clocks(block: Block, sites: Iterable[KnownSite]) -> Clocks:
    """By the rows that arrived of *sites*, whether they say anything new or not."""
    stacks = _Stacks.of(block)
    newest = {
        stack_id: instant(at) for stack_id, at in zip(stacks.stack_ids, stacks.newest(block).tolist(), strict=True)
    }
    of_sites: dict[int, datetime] = {}
    for site in sites:
        own = [newest[known.stack_id] for known in site.stacks.values() if known.stack_id in newest]
        if site.simulated and own:
            of_sites[site.site_id] = max(own)
    return Clocks(of_sites, newest)


def hours(block: Block, longest_s: Ints, sites: Iterable[KnownSite]) -> set[StackHour]:
    """The hours that rows reach into; *longest_s* is the longest interval that each had or has [s]."""
    stacks = _Stacks.of(block)
    reach = longest_s.astype(np.int64) * SECOND
    zones: dict[int, str] = {}
    at_end: set[int] = set()
    for site in sites:
        zones |= {known.stack_id: site.timezone for known in site.stacks.values()}
        at_end |= {known.stack_id for known in site.stacks.values() if known.stamped_at_end}
    # A row that carries the end of its interval stands for what lies before its stamp.
    stamped_at_end = np.array([stack_id in at_end for stack_id in stacks.stack_ids], bool)[stacks.place]
    at = block.sampled_at - np.where(stamped_at_end, reach, 0)
    first = _first_hours(at, stacks, zones)
    beyond = at + reach > first + HOUR
    places = np.concatenate([stacks.place, stacks.place[beyond]])
    starts = np.concatenate([first, first[beyond] + HOUR])
    span = int(starts.max()) // SECOND + 1
    _, kept = np.unique(places * span + starts // SECOND, return_index=True)
    return {
        (stacks.stack_ids[place], instant(start))
        for place, start in zip(places[kept].tolist(), starts[kept].tolist(), strict=True)
    }


def _first_hours(at: npt.NDArray[np.int64], stacks: _Stacks, zones: dict[int, str]) -> npt.NDArray[np.int64]:
    """The start of the local hour in which each row begins."""
    names = sorted({zones[stack_id] for stack_id in stacks.stack_ids})
    if len(names) == 1:
        return hour_starts(at, ZoneInfo(names[0]))
    zone = np.array([names.index(zones[stack_id]) for stack_id in stacks.stack_ids])[stacks.place]
    first = np.empty_like(at)
    for code, name in enumerate(names):
        own = zone == code
        first[own] = hour_starts(at[own], ZoneInfo(name))
    return first
