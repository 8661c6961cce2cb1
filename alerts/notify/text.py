"""A notice as people read it: a subject, and one screen of text in the receiver's language.

What, where, how much above which limit and clause, since when, what to do. Times are the site's own, with its zone.
Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from alerts.notify.notices import OPEN, Document, Notice
from alerts.notify.words import LANGUAGES, Words
from alerts.rules.catalogue import Group, about
from alerts.rules.rule import SEVERITIES
from plant.errors import NotFound

SHOWN: Final = {"new": 4, "over": 2, "withdrawn": 2, "standing": 2}
"""Alerts of each section: with four lines each at most, one screen."""

CLAUSE: Final = 160  #: characters of a clause in a message; all of it is in the alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a group's alerts are."""

    site: str | None  #: None: it is stackwatch itself
    name: str = ""
    name_zh: str = ""
    region: str | None = None
    timezone: str = "UTC"

    def called(self, language: str) -> str:
        if self.site is None:
            return LANGUAGES[language].itself
        return (self.name_zh if language == "zh" else self.name) or self.name or self.site


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    subject: str
    body: str


def text_of(notice: Notice, place: Place, group: str, *, language: str, link: str | None) -> Text:
    """Subject and body; *link* is the address of the page that says more."""
    words = LANGUAGES[language]
    lines = [_heading(place, group, words, language), _counts(notice, words), ""]
    for section in ("new", "withdrawn", "over", "standing"):
        lines += _section(section, getattr(notice, section), place, words, language)
    lines.append(words.todo[group])
    if link:
        lines.append(f"{words.link}{words.colon} {link}")
    return Text(subject=_subject(notice, place, group, words, language), body="\n".join(lines))


def worst_of(notice: Notice) -> Document:
    """The gravest alert of a notice: of what is new, else of what is open, else of what ended."""
    return (notice.new or notice.standing or notice.over or notice.withdrawn)[0]


def title_of(document: Document, language: str) -> str:
    """What the rule of an alert is called; its name where the rule is no more."""
    try:
        info = about(document["rule"])
    except NotFound:
        return str(document["rule"])
    return info.title_zh if language == "zh" else info.title


def is_lead(document: Document) -> bool:
    try:
        return about(document["rule"]).lead or about(document["rule"]).group == Group.INTEGRITY
    except NotFound:
        return False


def _subject(notice: Notice, place: Place, group: str, words: Words, language: str) -> str:
    worst = worst_of(notice)
    counted = len(notice.new) or len(notice.standing) or len(notice.over) or len(notice.withdrawn)
    severity = words.severities[worst["severity"]]
    if notice.repeats:
        severity = words.again + severity
    elif not notice.new:
        severity = words.over if notice.over else words.withdrawn
    return words.subject.format(
        severity=severity, place=place.called(language), count=counted, group=words.groups[group]
    )


def _heading(place: Place, group: str, words: Words, language: str) -> str:
    codes = words.comma.join(filter(None, (place.site, place.region)))
    return f"{place.called(language)}{f' ({codes})' if codes else ''}{words.colon} {words.groups[group]}"


def _counts(notice: Notice, words: Words) -> str:
    by = Counter(document["severity"] for document in notice.open)
    told = words.comma.join(f"{words.severities[name]} {by[name]}" for name in reversed(SEVERITIES) if by[name])
    return words.counts.format(
        new=len(notice.new),
        over=len(notice.over),
        withdrawn=len(notice.withdrawn),
        open=len(notice.open),
        by_severity=f" ({told})" if told else "",
    )


def _section(name: str, found: Sequence[Document], place: Place, words: Words, language: str) -> Iterator[str]:
    if not found:
        return
    heading: str = getattr(words, name)
    yield f"{heading}{words.colon}"
    for document in found[: SHOWN[name]]:
        yield from _alert(document, place, words, language, brief=name in ("over", "standing"))
    if len(found) > SHOWN[name]:
        yield f"  {words.more.format(count=len(found) - SHOWN[name])}"
    yield ""


def _alert(document: Document, place: Place, words: Words, language: str, *, brief: bool) -> Iterator[str]:
    what = " ".join(filter(None, (document["stack"], (document["pollutant"] or "").upper())))
    severity = words.lead if is_lead(document) else words.severities[document["severity"]]
    yield f"- {severity} | {title_of(document, language)}{f' | {what}' if what else ''}"
    if values := _values(document, words):
        yield f"    {values}"
    yield f"    {_when(document, place, words)}"
    if not brief:
        yield f"    {_cut(document['clause'])}"


def _values(document: Mapping[str, Any], words: Words) -> str:
    (observed, limit), unit = _weighed(document), document["unit"]
    if observed is None or limit is None:
        return ""
    shown, bound = _pair(observed, limit)
    text = words.values.format(observed=shown, unit=unit or "", limit=bound)
    # A share or a count above its limit says nothing in per cent of it.
    above = 100 * (observed / limit - 1) if unit and unit.startswith("mg/m3") and limit > 0 else 0.0
    return text + words.comma + words.above.format(percent=_number(above, 2)) if above >= 0.1 else text


def _weighed(document: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Observed and limit of the hour that gave the alert its severity, where that is not the one that made it fire."""
    evidence = document["evidence"] or {}
    graver, since = evidence.get("graver"), evidence.get("severity_since")
    if graver and since and since[-1][0] == graver["hour"]:
        return graver["observed"], graver["limit"]
    return document["observed"], document["limit"]


def _pair(observed: float, limit: float) -> tuple[str, str]:
    """Both readable, with as many digits as it takes to tell them apart: 35.00004 is not 35."""
    for digits in range(4, 18):
        pair = _number(observed, digits), _number(limit, digits)
        if pair[0] != pair[1] or observed == limit:
            return pair
    return repr(observed), repr(limit)


def _when(document: Mapping[str, Any], place: Place, words: Words) -> str:
    zone = ZoneInfo(place.timezone)
    start, end = _local(document["period_start"], zone), _local(document["period_end"], zone)
    # Of one day the second time needs no date.
    end_text = end.strftime("%H:%M") if end.date() == start.date() else end.strftime("%Y-%m-%d %H:%M")
    text = words.period.format(start=start.strftime("%Y-%m-%d %H:%M"), end=end_text, zone=place.timezone)
    if document["state"] not in OPEN:
        return text + words.comma + words.already_over if document["state"] == "resolved" else text
    since = _local(document["started_at"], zone).strftime("%Y-%m-%d %H:%M")
    return text + words.comma + words.since.format(at=since)


def _local(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).astimezone(zone)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def _cut(text: str) -> str:
    return text if len(text) <= CLAUSE else text[: CLAUSE - 3] + "..."
