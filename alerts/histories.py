"""A stack's history from the database: the hours to be folded again, and as many before as rules reach back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, TypedDict

import numpy as np

from alerts.digests import Channel, Names, Stored, stored, stored_blocks
from alerts.rules import process_values
from alerts.rules.history import History, Span, VerdictHours
from alerts.rules.rule import LONGEST_REACH_H, Rule
from alerts.signal_features import apart
from alerts.subject import Subject
from plant.days import day_edges
from plant.features import names_of
from plant.periods import HOUR, Instants, hour_start, instant, micros
from plant.readings import Counts, Values
from store import features, histories, queue
from store.features import DigestRun, HourDigest
from store.history_inputs import Spoken, Wanted, history_inputs
from store.pool import Connection

SIBLING_RULE: Final = "sibling_identity"  #: the only one that looks at other stacks of the site

_A_DAY_H: Final = 24
_layouts: dict[int, Names] = {}  # named by their content: what one database says of a layout holds for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A history, and where folding goes on in it."""

    history: History
    first: int  #: place of the first hour of the local day from which it is folded
    checkpoint: Mapping[str, Any] | None  #: what held when that day began


async def load(
    conn: Connection, subject: Subject, *, since: int, judged: Collection[int], now: int, rules: Sequence[Rule]
) -> Loaded:
    """What reviewing the hours from *since* on needs, at the instant *now* (both microseconds).

    *judged* are the hours that this transaction has judged: their rows are read, though the questions still stand.
    Folding goes on where it was last saved before the local day of *since*, which is earlier than that day where the
    stack was silent in between.
    """
    fold_from, checkpoint = await _fold_from(conn, subject, since)
    # An hour that lies in the future by a wrong clock is looked at all the same.
    end = max(hour_start(now, subject.site.zone), since) + HOUR
    reach_h = max((rule.reach_h for rule in rules), default=0)
    lead_h = min(reach_h, LONGEST_REACH_H)
    start = np.arange(fold_from - reach_h * HOUR, end, HOUR, dtype=np.int64)
    first = int(start[0])
    digests = await features.read_digests(
        conn, subject.stack_id, first=first, values_from=fold_from - lead_h * HOUR, end=end
    )
    layouts = await _layouts_of(conn, digests)
    found = stored(digests, layouts, first=first, n_hours=start.size)
    said = await beside(
        conn,
        subject,
        first=first,
        n_hours=start.size,
        values_from=fold_from - lead_h * HOUR,
        day_from=fold_from - min(_A_DAY_H, lead_h) * HOUR,
        signals=(),
        keep_masses=True,
    )
    channels, said["signals"] = apart(found.channels)
    history = History(
        site=subject.site,
        stack=subject.stack,
        packs=subject.packs,
        now=now,
        start=start,
        ended=subject.ended(start, now),
        outlet=found.outlet,
        unread=await _unread(
            conn, subject, start, np.flatnonzero(found.outlet["rows"][reach_h:] == 0) + reach_h, judged
        ),
        channels={channel: _whole(channel, of, start.size) for channel, of in channels.items()},
        verdicts=_verdicts(subject, found, start.size),
        siblings=await _siblings(conn, subject, rules, first, fold_from, end),
        **said,
    )
    return Loaded(history=history, first=reach_h, checkpoint=checkpoint)


async def _unread(
    conn: Connection, subject: Subject, start: Instants, empty: Counts, judged: Collection[int]
) -> frozenset[int]:
    """The places of *empty* hours whose rows wait to be judged: a stack that is far behind is judged in portions."""
    places = {int(start[place]): place for place in empty.tolist()}
    hours = places.keys() - set(judged)
    if not hours:
        return frozenset()
    return frozenset(places[hour] for hour in await queue.with_new_rows(conn, subject.stack_id, hours))


class Beside(TypedDict):
    """What there is about a stack beside its rows, by the names of `History`."""

    marks: tuple[Span, ...]
    orders: tuple[Span, ...]
    changes: tuple[Span, ...]
    records: Mapping[str, tuple[int, ...]]
    conflicts: Mapping[str, Counts]
    reported: Mapping[tuple[str, str, str], Values]
    signals: Mapping[tuple[str, str, str], Values]
    mass_before: Mapping[str, float]


async def beside(
    conn: Connection,
    subject: Subject,
    *,
    first: int,
    n_hours: int,
    values_from: int | None = None,
    day_from: int | None = None,
    signals: Sequence[str] = process_values.NAMES,
    keep_masses: bool = False,
) -> Beside:
    """What is said of the *n_hours* hours from the instant *first*.

    Values of hours before *values_from* are not read, nor before *day_from* what rules look back on for a day alone.
    *signals* are read from what came; a live stage has them among the numbers of its hours. It alone, which holds the
    stack, keeps sums of masses.
    """
    wanted = Wanted(
        site_id=subject.site_id,
        stack_id=subject.stack_id,
        site=subject.site.code,
        stack=subject.stack.code,
        units=subject.stack.units,
        first=first,
        n_hours=n_hours,
        values_from=first if values_from is None else values_from,
        day_from=first if day_from is None else day_from,
    )
    said = await history_inputs(conn, wanted, signals=signals)
    return Beside(
        marks=await _marks(conn, subject, first, wanted.end),
        orders=tuple(_span(order) for order in said.orders),
        changes=tuple(_span(change) for change in said.changes),
        records=said.records,
        conflicts=said.conflicts,
        reported=said.reported,
        signals=said.signals,
        mass_before=await _mass_before(conn, subject, first, keep=keep_masses),
    )


async def _fold_from(conn: Connection, subject: Subject, since: int) -> tuple[int, Mapping[str, Any] | None]:
    """The start of the local day from which to fold, and the checkpoint of the day before it."""
    day = instant(since).astimezone(subject.site.zone).date()
    saved = await features.checkpoint_before(conn, subject.stack_id, day)
    if saved is not None:
        return _day_start(saved[0] + timedelta(days=1), subject), saved[1]
    begun = await features.first_hour(conn, subject.stack_id)
    # Before a stack's first hour there is nothing to be missed.
    return _day_start(instant(since if begun is None else begun).astimezone(subject.site.zone).date(), subject), None


def _day_start(day: date, subject: Subject) -> int:
    zone = subject.site.zone
    return hour_start(int(day_edges(day, 0, zone)[0]), zone)


async def _layouts_of(conn: Connection, digests: Iterable[DigestRun | HourDigest]) -> dict[int, Names]:
    wanted = {digest.layout for digest in digests}
    missing = wanted - _layouts.keys()
    if missing:
        _layouts.update(await features.layouts(conn, missing))
    return {layout: _layouts[layout] for layout in wanted}


def _whole(channel: Channel, features_of: Mapping[str, Values], n_hours: int) -> Mapping[str, Values]:
    """With what an earlier version of this software did not store yet."""
    absent = (name for name in names_of(channel[1]) if name not in features_of)
    return {**features_of, **{name: np.full(n_hours, np.nan) for name in absent}}


def _verdicts(subject: Subject, found: Stored, n_hours: int) -> dict[tuple[str, str], VerdictHours]:
    """Those of the packs and pollutants that are watched now."""
    keys = [(watched.pack.name, watched.pollutant) for watched in subject.watched]
    return {key: found.verdicts.get(key) or VerdictHours.none(n_hours) for key in keys}


async def _marks(conn: Connection, subject: Subject, first: int, end: int) -> tuple[Span, ...]:
    marks = await histories.marks_of(conn, subject.stack_id, first=first, end=end)
    return tuple(Span(start=m.start, end=m.end, kind=m.kind, status=m.status, detail=m.detail) for m in marks)


def _span(said: Spoken) -> Span:
    return Span(start=said.start, end=said.end, kind=said.kind, detail=said.detail)


async def _siblings(
    conn: Connection, subject: Subject, rules: Sequence[Rule], first: int, fold_from: int, end: int
) -> dict[tuple[str, str, str], dict[str, Values]]:
    reach_h = next((rule.reach_h for rule in rules if rule.name == SIBLING_RULE), None)
    if reach_h is None or len(subject.site.stacks) < 2:
        return {}
    by_stack = await features.read_blocks(
        conn, subject.site_id, subject.stack_id, first=fold_from - reach_h * HOUR, end=end
    )
    n_hours = (end - first) // HOUR
    found = {}
    for stack, digests in by_stack.items():
        layouts = await _layouts_of(conn, digests)
        for channel, blocks in stored_blocks(digests, layouts, first=first, n_hours=n_hours).items():
            found[(stack, *channel)] = blocks
    return found


async def shown_before(
    conn: Connection, digests: Sequence[HourDigest], history: History
) -> dict[Channel, dict[str, Values]]:
    """The blocks of *digests* that no longer stand, at their places in *history*."""
    layouts = await _layouts_of(conn, digests)
    runs = [DigestRun(old.layout, np.array([old.start], dtype=np.int64), b"", old.blocks, b"") for old in digests]
    return stored_blocks(runs, layouts, first=int(history.start[0]), n_hours=history.n_hours)


async def _mass_before(conn: Connection, subject: Subject, first: int, *, keep: bool) -> dict[str, float]:
    """Of the pollutants whose year the permit limits, as the first pack that watches them averages."""
    local = instant(first).astimezone(subject.site.zone)
    year = micros(datetime(local.year, 1, 1, tzinfo=subject.site.zone))
    found: dict[str, float] = {}
    for watched in subject.watched:
        name = watched.pollutant
        if name in subject.stack.permit_t_per_year and name not in found:
            found[name] = await histories.mass_between(
                conn, subject.stack_id, name, watched.method.name, first=year, end=first, keep=keep
            )
    return found
