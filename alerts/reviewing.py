"""Reviewing a stack after some of its hours were judged: what its rules say of many hours, in the caller's transaction.

An hour is reviewed when it has ended and any number of it is another than before, or when something else was said
about it. Of a running hour only the rules that speak early are asked, and only when something was said about it (that
its stack is silent): rows that come end nothing before their hour does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from alerts import episodes
from alerts.digests import Channel
from alerts.histories import SIBLING_RULE, Loaded, load, shown_before
from alerts.review import of_rules, review
from alerts.rows import Events
from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.rules.rule import Rule
from alerts.subject import Subject
from plant.days import day_edges
from plant.periods import HOUR, SECOND
from plant.readings import Values
from store import features, histories
from store.features import HourDigest
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which hours of a stack the review is about, by their starts."""

    judged: Collection[int]  #: in this transaction; of these some
    changed: Sequence[int]  #: have other numbers now, or
    touched: Collection[int] = ()  #: something else than their rows was said about
    shown: Sequence[HourDigest] = ()  #: what stood of those that show other values now


async def review_stack(conn: Connection, subject: Subject, asked: Asked, *, now: int) -> Events:
    """Review a stack of which hours were judged; what became of its alerts."""
    changed = [hour for hour in asked.changed if subject.has_ended(hour, now)]
    ended = [*changed, *(hour for hour in asked.touched if subject.has_ended(hour, now))]
    if ended:
        # With the hour before: another stack may have been judged at the same instant as that, and unseen.
        since = min(ended) - HOUR if len(subject.site.stacks) > 1 else min(ended)
        loaded = await load(conn, subject, since=since, judged=asked.judged, now=now, rules=RULES)
        events = await _apply(conn, subject, loaded, RULES)
        shown = [old for old in asked.shown if subject.has_ended(old.start, now)]
        ours = replace(asked, changed=changed, shown=shown)
        await _ask_siblings(conn, subject, loaded.history, ours, ended, events)
        return events
    early = [rule for rule in RULES if rule.early]
    if asked.touched and early:
        loaded = await load(conn, subject, since=min(asked.touched), judged=asked.judged, now=now, rules=early)
        return await _apply(conn, subject, loaded, early)
    return []


async def _apply(conn: Connection, subject: Subject, loaded: Loaded, rules: Sequence[Rule]) -> Events:
    history, checkpoint, all_rules = loaded.history, loaded.checkpoint, rules is RULES
    if checkpoint is not None and not all_rules:
        checkpoint = of_rules(checkpoint, rules)
    reviewed = review(history, checkpoint, first=loaded.first, rules=rules, keep_checkpoints=all_rules)
    events = await episodes.apply(conn, subject, history, reviewed, first=loaded.first, rules=rules)
    over = {day: state for day, state in reviewed.checkpoints.items() if _is_over(day, subject, history.now)}
    await features.put_checkpoints(conn, subject.stack_id, over)
    return events


def _is_over(day: date, subject: Subject, now: int) -> bool:
    """Whether every hour of a local day has ended, those too that have no row."""
    end = int(day_edges(day, 1, subject.site.zone)[1])
    return now >= end + subject.ended_after_s * SECOND


async def _ask_siblings(
    conn: Connection, subject: Subject, history: History, asked: Asked, reviewed: Sequence[int], events: Events
) -> None:
    """Have other stacks of the site reviewed where this one now shows what they show, or no longer does.

    What another stack asked for is answered with a question only where it changed an alert, so this comes to an end.
    Two stacks that are judged at the same instant do not see each other; the review of their next hour, which folds
    this one again, makes it good.
    """
    if not history.siblings:
        return
    alike = _alike(history, history.channels, set(asked.changed))
    if asked.shown:
        alike |= _alike(history, await shown_before(conn, asked.shown, history), {old.start for old in asked.shown})
    ids = [alert_id for alert_id, _ in events]
    if ids and await histories.concern(conn, ids, SIBLING_RULE):
        others = {stack for stack, _, _ in history.siblings}
        alike |= {(stack, hour) for stack in others for hour in reviewed}
    await histories.ask_siblings(conn, subject.site_id, sorted(alike))


def _alike(
    history: History, own: Mapping[Channel, Mapping[str, Values]], hours: Collection[int]
) -> set[tuple[str, int]]:
    """The other stacks that show in one of *hours* what this one's channels *own* do, each with the hour."""
    places = [place for place, start in enumerate(history.start.tolist()) if start in hours]
    found: set[tuple[str, int]] = set()
    for (stack, _, channel), theirs in history.siblings.items():
        for (_, own_channel), ours in own.items():
            if own_channel != channel:
                continue
            for name in theirs.keys() & ours.keys():
                same = theirs[name][places] == ours[name][places]
                found |= {(stack, int(history.start[place])) for place, hit in zip(places, same, strict=True) if hit}
    return found
