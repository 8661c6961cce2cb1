"""What is judged: a registered stack, and each of its pollutants under each of its packs.

Whatever of register and packs does not change from hour to hour is worked out here once. Rules are given a `Watched`:
the packs stand for themselves, so a backtest with a draft pack is a subject with other packs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import numpy as np

from alerts.rules.finding import Series
from plant.bounds import Target, target_of
from plant.envelopes import Envelope, envelope_of
from plant.hours import Method
from plant.limits import Governing, governing
from plant.packs import Pack, all_packs
from plant.periods import HOUR, SECOND, Instants, local_days
from plant.readings import Truths
from plant.register import Site, Stack
from plant.verdicts import method_of

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One pollutant of a stack under one pack: how it is averaged, what it is compared with."""

    site: Site
    stack: Stack
    pack: Pack
    pollutant: str
    rule: Governing
    method: Method
    corrected: bool  #: the channel arrives at the reference oxygen
    target: Target
    envelope: Envelope | None  #: what minutes to come keep to; None where the register gives no range

    def series(self, rule: str) -> Series:
        return Series(
            rule=rule, pack=self.pack.name, site=self.site.code, stack=self.stack.code, pollutant=self.pollutant
        )

    def in_force(self, start: Instants) -> Truths:
        """Whether the pack holds on the local day of each hour."""
        if self.pack.valid_from is None and self.pack.valid_until is None:
            return np.ones(start.size, dtype=bool)
        days, place = np.unique(local_days(start, self.site.zone), return_inverse=True)
        holds = [self.pack.in_force(_EPOCH + timedelta(days=day)) for day in days.tolist()]
        return np.array(holds, dtype=bool)[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The stack that is judged, as registered."""

    site_id: int
    stack_id: int
    site: Site
    stack: Stack
    packs: tuple[Pack, ...] = ()  #: without: those that the register names
    watched: tuple[Watched, ...] = field(init=False, compare=False, repr=False)
    ended_after_s: int = field(init=False, compare=False, repr=False)  #: when an hour has ended under all packs

    def __post_init__(self) -> None:
        packs = self.packs or self.packs_of(self.stack.packs)
        object.__setattr__(self, "packs", packs)
        object.__setattr__(self, "watched", tuple(_watched(self.site, self.stack, packs)))
        object.__setattr__(self, "ended_after_s", max((pack.averaging.ended_after_s for pack in packs), default=0))

    @staticmethod
    def packs_of(names: Iterable[str]) -> tuple[Pack, ...]:
        """Those that ship with stackwatch."""
        known = all_packs()
        return tuple(known[name] for name in names)

    def series(self, rule: str, pack: str, pollutant: str) -> Series:
        return Series(rule=rule, pack=pack, site=self.site.code, stack=self.stack.code, pollutant=pollutant)

    def ended(self, start: Instants, now: int) -> Truths:
        """Which hours have ended at the instant *now*, under every pack."""
        ended: Truths = now >= start + HOUR + self.ended_after_s * SECOND
        return ended

    def has_ended(self, hour: int, now: int) -> bool:
        """Whether the one hour that starts at *hour* has."""
        return now >= hour + HOUR + self.ended_after_s * SECOND


def _watched(site: Site, stack: Stack, packs: tuple[Pack, ...]) -> list[Watched]:
    found = []
    for pack in packs:
        for pollutant, rule in governing(pack, stack).items():
            corrected, process = stack.channel(pollutant).corrected, rule.outlet.key
            method = method_of(pack, process, already_corrected=corrected)
            target = target_of(pack, process, pollutant, already_corrected=corrected, limit=rule.limit)
            found.append(
                Watched(
                    site=site,
                    stack=stack,
                    pack=pack,
                    pollutant=pollutant,
                    rule=rule,
                    method=method,
                    corrected=corrected,
                    target=target,
                    envelope=envelope_of(stack, pollutant, with_oxygen=method.with_oxygen),
                )
            )
    return found
