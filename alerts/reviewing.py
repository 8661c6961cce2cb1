"""Reviewing a stack after some of its hours were judged: what its rules say of many hours, in the caller's transaction.

An hour is reviewed when it has ended and any number of it is another than before, or when something else was said
about it. Of a running hour only the rules that speak early are asked, and only when something was said about it (that
its stack is silent): rows that come end nothing before their hour does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from alerts import episodes
from alerts.histories import SIBLING_RULE, Loaded, load
from alerts.review import of_rules, review
from alerts.rows import Events
from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.rules.rule import Rule
from alerts.subject import Subject
from plant.days import day_edges
from plant.periods import HOUR, SECOND
from store import features, histories
from store.pool import Connection


async def review_stack(
    conn: Connection, subject: Subject, *, changed: Sequence[int], touched: Collection[int], now: int
) -> Events:
    """Review a stack of which the hours *changed*, or were *touched* by something else; what became of its alerts."""
    ended = [hour for hour in changed if _has_ended(subject, hour, now)]
    asked = [*ended, *(hour for hour in touched if _has_ended(subject, hour, now))]
    if asked:
        loaded = await load(conn, subject, since=min(asked), now=now, rules=RULES)
        events = await _apply(conn, subject, loaded, RULES)
        await _ask_siblings(conn, subject, loaded.history, ended, asked, events)
        return events
    early = [rule for rule in RULES if rule.early]
    if touched and early:
        loaded = await load(conn, subject, since=min(touched), now=now, rules=early)
        return await _apply(conn, subject, loaded, early)
    return []


def _has_ended(subject: Subject, hour: int, now: int) -> bool:
    return now >= hour + HOUR + subject.ended_after_s * SECOND


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
    conn: Connection,
    subject: Subject,
    history: History,
    changed: Sequence[int],
    reviewed: Sequence[int],
    events: Events,
) -> None:
    """Have other stacks of the site reviewed where this one now shows what they show, or no longer does.

    What another stack asked for is answered with a question only where it changed an alert, so this comes to an end.
    Two stacks that are judged at the same instant do not see each other; the review of their next hour makes it good.
    """
    asked = _alike(history, set(changed))
    ids = [alert_id for alert_id, _ in events]
    if ids and history.siblings and await histories.concern(conn, ids, SIBLING_RULE):
        others = {stack for stack, _, _ in history.siblings}
        asked |= {(stack, hour) for stack in others for hour in reviewed}
    await histories.ask_siblings(conn, subject.site_id, sorted(asked))


def _alike(history: History, hours: Collection[int]) -> set[tuple[str, int]]:
    """The other stacks that show in one of *hours* what this one shows, each with the hour."""
    places = [place for place, start in enumerate(history.start.tolist()) if start in hours]
    found: set[tuple[str, int]] = set()
    for (stack, _, channel), theirs in history.siblings.items():
        for (_, own_channel), ours in history.channels.items():
            if own_channel != channel:
                continue
            for name, block in theirs.items():
                same = block[places] == ours[name][places]
                found |= {(stack, int(history.start[place])) for place, hit in zip(places, same, strict=True) if hit}
    return found
