"""Alerts of one site and one kind of rule, as people take them in: one line that opens into its alerts.

The page, the API and the messages group alike, by this. A group has no life of its own: it is what is open now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from alerts.rules.catalogue import Group as Kind
from alerts.rules.catalogue import about
from alerts.rules.rule import SEVERITIES
from plant.errors import NotFound

LISTED: Final = 20  #: ids of a group, the gravest and newest; its counts are over all

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The alerts of one kind at one site."""

    site: str | None  #: None: they are about stackwatch itself
    kind: Kind
    alerts: int
    by_severity: Mapping[str, int]  #: every severity, the gravest first
    acknowledged: int
    suppressed: int
    worst: Document  #: of those that are heard, if any; the gravest, then the newest
    since: str  #: the earliest start
    newest: str  #: the latest start of a period
    ids: tuple[str, ...]

    @property
    def key(self) -> str:
        return key_of(self.worst)


def kind_of(document: Document) -> Kind:
    """The kind of an alert by its rule; a rule that is no more counts by whether the alert has a site."""
    try:
        return about(document["rule"]).group
    except NotFound:
        return Kind.SYSTEM if document["site"] is None else Kind.DATA


def key_of(document: Document) -> str:
    """What names the group of an alert: `site/kind`."""
    return f"{document['site'] or ''}/{kind_of(document).value}"


def groups(documents: Iterable[Document]) -> list[Group]:
    """The groups of *documents*, the one with the gravest alert first, then the newest."""
    by_key: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_key[key_of(document)].append(document)
    found = [_group(listed) for listed in by_key.values()]
    return sorted(sorted(found, key=lambda group: group.key), key=_weight, reverse=True)


def _group(listed: list[Document]) -> Group:
    ordered = sorted(listed, key=_rank, reverse=True)
    worst = next((alert for alert in ordered if not alert.get("suppressed_by")), ordered[0])
    return Group(
        site=worst["site"],
        kind=kind_of(worst),
        alerts=len(listed),
        by_severity={
            severity: sum(alert["severity"] == severity for alert in listed) for severity in reversed(SEVERITIES)
        },
        acknowledged=sum(alert["state"] == "acknowledged" for alert in listed),
        suppressed=sum(bool(alert.get("suppressed_by")) for alert in listed),
        worst=worst,
        since=min(alert["started_at"] for alert in listed),
        newest=max(alert["period_start"] for alert in listed),
        ids=tuple(alert["id"] for alert in ordered[:LISTED]),
    )


def _rank(alert: Document) -> tuple[int, str, str]:
    return SEVERITIES.index(alert["severity"]), alert["period_start"], alert["id"]


def _weight(group: Group) -> tuple[bool, int, str]:
    heard = group.suppressed < group.alerts
    return heard, SEVERITIES.index(group.worst["severity"]), group.newest
