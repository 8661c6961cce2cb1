"""Judging a whole history, cut by month and by stacks: here one cut after the other, on a cluster many at once.

    cuts ──▶ judge (rows to parts) ──▶ by stack, in the order of time ──▶ conclude (parts to results)

A source is what there is to judge. It can be sent to another machine, so it holds addresses and arguments and no open
file or connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from alerts.backtest.judging import Blocks, Part, join_blocks
from alerts.backtest.results import Result
from alerts.subject import Subject
from plant.packs import Pack
from plant.periods import HOUR, SECOND, month_bounds, month_of
from plant.readings import Rows, Truths
from plant.register import Site, Stack

STACKS_AT_ONCE: Final = 25  #: of one cut: a month of them is about a million minutes, some hundred megabytes

LEAD: Final = 32 * 24 * HOUR
"""What is judged before the time that is asked for: a month of verdicts and as many values as rules reach back [us]."""
TAIL: Final = 7 * 24 * HOUR
"""And behind the month in which it ends: the next clear hour ends an alert [us]."""

Packs = Callable[[Stack], tuple[Pack, ...]]
OnHours = Callable[[int], None]  #: told how many more hours of stacks have been judged


def last_needed(end: int, site: Site) -> int:
    """Until when a site is judged for what lies before *end*: a month is another thing before it has ended."""
    return month_bounds(month_of(end - 1, site.zone), site.zone)[1] + TAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged. Instants are microseconds since the epoch."""

    first: int | None = None  #: None: from the first row on
    end: int | None = None  #: None: until the last
    now: int | None = None  #: as of when; None: when the hour of the site's newest row has ended
    packs: Packs | None = None  #: of a stack, instead of those registered

    def under(self, packs: Packs) -> Asked:
        """The same, judged under other packs."""
        return replace(self, packs=packs)

    def subject(self, site: Site, stack: Stack, *, site_id: int = 0, stack_id: int = 0) -> Subject:
        packs = () if self.packs is None else self.packs(stack)
        return Subject(site_id=site_id, stack_id=stack_id, site=site, stack=stack, packs=packs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The hours of a site that are judged, and as of when."""

    first: int  #: begins a local day
    end: int
    now: int

    def months(self, site: Site) -> list[tuple[int, int]]:
        """(first, end) of each local month of the span."""
        found, at = [], self.first
        while at < self.end:
            end = min(self.end, month_bounds(month_of(at, site.zone), site.zone)[1])
            found.append((at, end))
            at = end
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Some stacks of a site in one month: what is read and judged at once."""

    site: str
    stacks: tuple[str, ...]
    first: int
    end: int
    now: int

    @property
    def hours(self) -> int:
        """Of all its stacks."""
        return len(self.stacks) * ((self.end - self.first) // HOUR)


Parts = Mapping[str, Part]  #: of one cut, by stack


class Source(Protocol):
    """A history to judge."""

    @property
    def sites(self) -> Mapping[str, Site]: ...

    @property
    def asked(self) -> Asked: ...

    def span(self, site: Site) -> Span | None:
        """The hours to judge, those around the time that is asked for among them; None where there are none."""
        ...

    def judge(self, cut: Cut) -> Parts:
        """The part of each stack of *cut*; one without rows too, so that parts follow one another."""
        ...

    def conclude(
        self, site: str, stack: str, parts: Sequence[Part], siblings: Mapping[str, Blocks], now: int
    ) -> Result: ...


def cuts_of(site: Site, span: Span) -> list[Cut]:
    """By month, then by stacks: the parts of a stack come in the order of time."""
    codes = [stack.code for stack in site.stacks]
    groups = [tuple(codes[at : at + STACKS_AT_ONCE]) for at in range(0, len(codes), STACKS_AT_ONCE)]
    return [
        Cut(site=site.code, stacks=group, first=first, end=end, now=span.now)
        for first, end in span.months(site)
        for group in groups
    ]


def come_by(rows: Mapping[str, Rows], at: int) -> dict[str, Rows]:
    """The rows that stand for time that had passed at the instant *at*."""
    return {name: _where(of, of.sampled_at + of.interval_s * SECOND <= at) for name, of in rows.items()}


def _where(rows: Rows, taken: Truths) -> Rows:
    return Rows(
        sampled_at=rows.sampled_at[taken],
        interval_s=rows.interval_s[taken],
        not_running=rows.not_running[taken],
        values={name: of[taken] for name, of in rows.values.items()},
        flags={name: of[taken] for name, of in rows.flags.items()},
        row_flag=rows.row_flag[taken],
    )


def hours_to_judge(source: Source) -> int:
    """What `on_hours` will have been told in the end."""
    spans = ((site, source.span(site)) for site in source.sites.values())
    return sum(cut.hours for site, span in spans if span is not None for cut in cuts_of(site, span))


def judge_history(source: Source, on_hours: OnHours = lambda hours: None) -> Result:
    """Everything that a history comes to, judged on one core."""
    result = Result()
    for site in source.sites.values():
        span = source.span(site)
        if span is not None:
            result.add(_judge_site(source, site, span, on_hours))
    return result.within(source.asked.first, source.asked.end)


def _judge_site(source: Source, site: Site, span: Span, on_hours: OnHours) -> Result:
    judged = []
    for cut in cuts_of(site, span):
        parts = source.judge(cut)
        judged.append(parts)
        on_hours(cut.hours)
    by_stack = gathered(judged)
    blocks = {code: join_blocks(parts) for code, parts in by_stack.items()}
    result = Result()
    for code, of_stack in by_stack.items():
        siblings = {other: of for other, of in blocks.items() if other != code}
        result.add(source.conclude(site.code, code, of_stack, siblings, span.now))
    return result


def gathered(judged: Iterable[Parts]) -> dict[str, list[Part]]:
    """The parts of each stack in the order of *judged*."""
    by_stack: dict[str, list[Part]] = {}
    for parts in judged:
        for code, part in parts.items():
            by_stack.setdefault(code, []).append(part)
    return by_stack
