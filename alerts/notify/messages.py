"""A message as it is put into the outbox: one JSON text, the same for every kind of receiver, and its stable id.

A webhook gets the text as it stands; mail and chat services are given `data.subject` and `data.text` of it. It stays
below what Standard Webhooks recommends (20 kB): alerts are listed without their evidence, the gravest first, and what
is left out is counted. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from alerts.notify.notices import Document, Notice
from alerts.notify.text import Place, is_lead, text_of, title_of, worst_of
from alerts.notify.words import LANGUAGES
from alerts.rules.rule import SEVERITIES

MAX_BYTES: Final = 18_000
MOST_ALERTS: Final = 20
TYPE_NEWS: Final = "alerts.news"
TYPE_REPEATED: Final = "alerts.repeated"
TYPE_TEST: Final = "receiver.test"

_KEPT: Final = (
    *("id", "rule", "severity", "state", "region", "site", "stack", "pollutant", "pack", "period_start", "period_end"),
    *("started_at", "ended_at", "observed", "limit", "unit", "clause"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    message_id: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """What a message says of the one it is for."""

    receiver_id: int
    name: str
    language: str


def message_id(receiver_id: int, route: str, group_key: str, *, number: int, count: int) -> str:
    """A function of whom it is for, what it is about and how far the feed has been told: never of when it is sent.

    *number* is the newest feed number noted of the group; *count* tells messages at one number apart: a repetition
    brings no event.
    """
    name = "\n".join((str(receiver_id), route, group_key, str(number), str(count)))
    digest = hashlib.blake2b(name.encode(), digest_size=15).digest()
    return "msg_" + base64.b32encode(digest).decode().lower()


def message_of(
    notice: Notice,
    place: Place,
    group: str,
    *,
    to: Addressee,
    route: str,
    group_key: str,
    number: int,
    count: int,
    at: datetime,
    public_url: str,
) -> Message:
    """The message of a notice; *at* is when it was written."""
    worst = worst_of(notice)
    link = public_url or None
    text = text_of(notice, place, group, language=to.language, link=link)
    listed = [
        (news, document)
        for news in ("new", "withdrawn", "over", "standing")
        for document in getattr(notice, news)[:MOST_ALERTS]
    ][:MOST_ALERTS]
    counts = {news: len(getattr(notice, news)) for news in ("new", "over", "withdrawn", "standing")}
    by_severity = Counter(document["severity"] for document in notice.open)
    data = {
        "receiver": to.name,
        "route": route,
        "group": {"site": place.site, "site_name": place.called(to.language), "region": place.region, "kind": group},
        "counts": counts,
        "open": {name: by_severity[name] for name in SEVERITIES},
        "worst": worst["id"],
        "alerts": [_listed(news, document, to.language) for news, document in listed],
        "left_out": sum(counts.values()) - len(listed),
        "subject": text.subject,
        "text": text.body,
        "link": link,
    }
    return Message(
        message_id=message_id(to.receiver_id, route, group_key, number=number, count=count),
        payload=_within_bounds(TYPE_REPEATED if notice.repeats else TYPE_NEWS, at, data),
    )


def trial_message(message_id: str, to: Addressee, *, at: datetime) -> Message:
    """A message that a person asked for, to see whether it comes."""
    words = LANGUAGES[to.language]
    data = {"receiver": to.name, "subject": words.test_subject.format(name=to.name), "text": words.test_text}
    return Message(message_id=message_id, payload=_json(TYPE_TEST, at, data))


def _listed(news: str, document: Document, language: str) -> dict[str, Any]:
    kept = {name: document[name] for name in _KEPT}
    return {"news": news, "title": title_of(document, language), "lead": is_lead(document), **kept}


def _within_bounds(kind: str, at: datetime, data: dict[str, Any]) -> str:
    while len((payload := _json(kind, at, data)).encode()) > MAX_BYTES and data["alerts"]:
        data = {**data, "alerts": data["alerts"][:-1], "left_out": data["left_out"] + 1}
    return payload


def _json(kind: str, at: datetime, data: Mapping[str, Any]) -> str:
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": kind, "timestamp": timestamp, "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
