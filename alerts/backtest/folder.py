"""Judging what lies in a folder of recordings. Nothing stands beside the rows there: no marks, no orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alerts.backtest.judging import Blocks, Part, as_of, conclude, judge_part
from alerts.backtest.recorded import Folder
from alerts.backtest.results import Result
from alerts.backtest.running import LEAD, Asked, Cut, Parts, Span, come_by, last_needed
from alerts.subject import Subject
from plant.days import day_edges
from plant.periods import HOUR, hour_start, instant
from plant.register import Site


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The recordings of *folder*, as far as *asked*. On a cluster every machine has to see the folder at its path."""

    folder: Folder
    asked: Asked

    @property
    def sites(self) -> Mapping[str, Site]:
        return {site.code: site for site in self.folder.sites}

    def span(self, site: Site) -> Span | None:
        found = self.folder.span(site.code)
        if found is None:
            return None
        asked, (oldest, newest) = self.asked, found
        newest = newest if asked.end is None else min(newest, last_needed(asked.end, site) - 1)
        newest = newest if asked.now is None else min(newest, asked.now)
        if newest < max(oldest, oldest if asked.first is None else asked.first):
            return None
        first = oldest if asked.first is None else max(oldest, asked.first - LEAD)
        now = asked.now
        if now is None:
            now = max(as_of(newest, asked.subject(site, stack)) for stack in site.stacks)
        return Span(first=day_start(first, site), end=hour_start(now, site.zone) + HOUR, now=now)

    def judge(self, cut: Cut) -> Parts:
        subjects = self._subjects(cut.site, cut.stacks)
        n_hours = (cut.end - cut.first) // HOUR
        parts = {}
        for found in self.folder.read(cut.site, first=cut.first, end=cut.end, stacks=cut.stacks):
            parts[found.stack.code] = judge_part(
                subjects[found.stack.code],
                found.rows if self.asked.now is None else come_by(found.rows, self.asked.now),
                first=cut.first,
                n_hours=n_hours,
                now=cut.now,
                conflicts={channel: at[at < cut.now] for channel, at in found.conflicts.items()},
            )
        for code in cut.stacks:
            if code not in parts:
                parts[code] = judge_part(subjects[code], {}, first=cut.first, n_hours=n_hours, now=cut.now)
        return parts

    def conclude(
        self, site: str, stack: str, parts: Sequence[Part], siblings: Mapping[str, Blocks], now: int
    ) -> Result:
        return conclude(self._subjects(site, (stack,))[stack], parts, now=now, siblings=siblings)

    def _subjects(self, site: str, stacks: Sequence[str]) -> dict[str, Subject]:
        of = self.sites[site]
        return {stack.code: self.asked.subject(of, stack) for stack in of.stacks if stack.code in stacks}


def day_start(at_us: int, site: Site) -> int:
    """The start of the local day that holds an instant."""
    return int(day_edges(instant(at_us).astimezone(site.zone).date(), 1, site.zone)[0])
