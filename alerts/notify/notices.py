"""What a receiver is told of a group of alerts, and when: the memory between two messages, as values.

    feed event ──▶ note() ──▶ Noted, due_at ──▶ (time passes) ──▶ settle() ──▶ Notice or nothing, what stays noted

Alerts of one site and kind are one group: a storm is one message with counts and the worst, not five hundred. What a
message says comes from the alerts as they are when it is written; the events only say what is news. Rules:

1. An alert is news when it opened, was reopened, escalated, or is no longer suppressed; its end is news only to who
   was told of it; what late data unmade is taken back to whoever was told.
2. What is suppressed is not told. What was acknowledged before its turn is not told either, unless it got graver.
3. A group is repeated while one of its alerts is open, neither acknowledged nor suppressed.

Pure: time comes in with the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from alerts.notify.routes import Route

Document = Mapping[str, Any]  #: an alert as everybody sees it

OPEN: Final = ("firing", "acknowledged")
NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Event(StrEnum):
    """Events of the feed that matter here; all others change nothing."""

    OPENED = "opened"
    REOPENED = "reopened"
    ESCALATED = "escalated"
    UNSUPPRESSED = "unsuppressed"
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"


BEGINS: Final = frozenset({Event.OPENED, Event.REOPENED, Event.ESCALATED, Event.UNSUPPRESSED})
ENDS: Final = frozenset({Event.RESOLVED, Event.WITHDRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One alert in a receiver's memory."""

    alert_id: str
    news: str | None = None  #: the event that is not told yet
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one message says: documents of alerts, the gravest first."""

    new: tuple[Document, ...]
    over: tuple[Document, ...]
    withdrawn: tuple[Document, ...]
    standing: tuple[Document, ...]  #: told before and still open

    @property
    def repeats(self) -> bool:
        """It says nothing that was not said before."""
        return not (self.new or self.over or self.withdrawn)

    @property
    def open(self) -> tuple[Document, ...]:
        """What is open now, of the new and the standing."""
        return tuple(one for one in (*self.new, *self.standing) if one["state"] in OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What follows when a group's time has come."""

    notice: Notice | None
    noted: tuple[Noted, ...]  #: what stays in memory
    due_at: datetime | None  #: when the group is looked at again; None: it can be forgotten


def is_suppressed(document: Document) -> bool:
    return bool(document.get("suppressed_by"))


def note(before: Noted | None, event: str, document: Document) -> tuple[Noted | None, bool]:
    """(what is noted of an alert after *event*, whether there is something to tell)."""
    now = before or Noted(alert_id=document["id"])
    if event in BEGINS:
        ended_in_silence = event == Event.UNSUPPRESSED and document["state"] not in OPEN
        if is_suppressed(document) or ended_in_silence:
            return before, False
        # What has not been told yet is told as what it was first.
        news = now.news if now.news in BEGINS and not now.told else event
        return Noted(alert_id=now.alert_id, news=news, told=now.told), True
    if before is None:
        return None, False
    if event == Event.RESOLVED:
        return (replace(now, news=event), True) if now.told else (now, False)
    if event == Event.WITHDRAWN:
        return (replace(now, news=event), True) if now.told else (None, False)
    if event in (Event.ACKNOWLEDGED, Event.SUPPRESSED):
        return (replace(now, news=None), False) if now.told else (None, False)
    return now, False


def due(route: Route, now: datetime, *, told_at: datetime | None, due_at: datetime | None) -> datetime:
    """When a group with news is told: it waits for company, and keeps its distance from the message before."""
    at = now + timedelta(seconds=route.wait_s)
    if told_at is not None:
        at = max(at, told_at + timedelta(seconds=route.interval_s))
    return at if due_at is None else min(at, due_at)


def settle(
    route: Route,
    noted: Sequence[Noted],
    documents: Mapping[str, Document],
    *,
    now: datetime,
    told_at: datetime | None,
) -> Settled:
    """What to say of a group at *now*. *documents* are the noted alerts as they are now."""
    said = [(one, documents[one.alert_id]) for one in noted if one.alert_id in documents]
    notice = Notice(
        new=_gravest_first(document for one, document in said if _is_new(one, document)),
        over=_gravest_first(document for one, document in said if _is_over(one, document, route)),
        withdrawn=_gravest_first(document for one, document in said if one.told and document["state"] == "withdrawn"),
        standing=_gravest_first(document for one, document in said if _stands(one, document)),
    )
    waiting = any(_wants_repeating(document) for document in notice.open)
    says = not notice.repeats or (waiting and _repeat_at(route, told_at) <= now)
    stay = tuple(
        Noted(alert_id=one.alert_id, told=True)
        for one, document in said
        if document["state"] in OPEN and (one.told or _is_new(one, document))
    )
    last = now if says else told_at
    repeat_at = _repeat_at(route, last) if waiting else NEVER
    # A group that is quiet is remembered for a while, so that what comes and goes keeps its distance.
    due_at = min(repeat_at, now + timedelta(seconds=route.interval_s) if says else NEVER)
    return Settled(notice=notice if says else None, noted=stay, due_at=None if due_at == NEVER else due_at)


def _repeat_at(route: Route, told_at: datetime | None) -> datetime:
    if told_at is None or route.repeat_s is None:
        return NEVER
    return told_at + timedelta(seconds=route.repeat_s)


def _is_new(one: Noted, document: Document) -> bool:
    if one.news not in BEGINS or document["state"] == "withdrawn" or is_suppressed(document):
        return False
    if one.told and document["state"] == "resolved":
        return False  # it got graver and ended before it was said: that it ended is what counts
    return document["state"] != "acknowledged" or one.news == Event.ESCALATED


def _is_over(one: Noted, document: Document, route: Route) -> bool:
    return one.told and document["state"] == "resolved" and route.resolved and not is_suppressed(document)


def _stands(one: Noted, document: Document) -> bool:
    return one.told and document["state"] in OPEN and not is_suppressed(document) and not _is_new(one, document)


def _wants_repeating(document: Document) -> bool:
    return document["state"] == "firing" and not is_suppressed(document)


_RANK: Final = {"critical": 0, "major": 1, "warning": 2, "info": 3}


def _gravest_first(documents: Any) -> tuple[Document, ...]:
    return tuple(sorted(documents, key=lambda one: (_RANK[one["severity"]], one["period_start"], one["id"])))
