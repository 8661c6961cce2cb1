"""Which alerts a receiver is told of, and how often: routes as values, and which one takes an alert.

A receiver has its routes in an order, and the first one that matches an alert takes it; an alert that none matches is
not told. Receivers know nothing of one another: each one is told by its own routes. Three limits stand before all
routes: the scope of who made the receiver, that only an administrator's receiver hears about stackwatch itself, and
that no receiver is told of its own death. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from alerts.enforcement.workflow import Track
from alerts.grouping import kind_of
from alerts.rules.catalogue import Group
from alerts.rules.rule import SEVERITIES
from plant.packs import all_packs

WAIT_S: Final = 30  #: what comes together is told together
INTERVAL_S: Final = 300
REPEAT_S: Final = 4 * 3_600
MOST_ROUTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of a receiver's routes; an empty tuple is not narrowed."""

    name: str
    regions: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()  #: kinds of rules: exceedance budget data integrity order system
    rules: tuple[str, ...] = ()
    tracks: tuple[str, ...] = ()
    at_least: str = "info"  #: the lowest severity
    wait_s: int = WAIT_S  #: before a group is told of first
    interval_s: int = INTERVAL_S  #: between two messages about one group that tell anything new
    repeat_s: int | None = REPEAT_S  #: after which what nobody acknowledged is told again; None: never
    resolved: bool = True  #: whether the end of what was told is told, too

    def document(self) -> dict[str, Any]:
        """As JSON; `route_from` reads it."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}


def route_from(document: Mapping[str, Any]) -> Route:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    return Route(**values)


SYSTEM: Final = Route(name="system", groups=(Group.SYSTEM,))
"""What an administrator's receiver hears where its own routes are silent about stackwatch itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearer:
    """A receiver as far as routing is concerned."""

    receiver_id: int
    routes: tuple[Route, ...]
    system: bool
    sites: frozenset[str]
    regions: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What routes look at in an alert."""

    rule: str
    group: str
    severity: str
    site: str | None  #: None: it is about stackwatch itself
    region: str | None
    tracks: frozenset[str]
    receiver_id: int | None  #: the receiver that it is about


def subject_of(document: Mapping[str, Any]) -> Subject:
    """What routes look at, of an alert's *document*."""
    group = kind_of(document)
    dead = document["evidence"].get("receiver_id") if group == Group.SYSTEM else None
    return Subject(
        rule=document["rule"],
        group=group,
        severity=document["severity"],
        site=document["site"],
        region=document["region"],
        tracks=tracks_of(document, group),
        receiver_id=dead,
    )


def tracks_of(document: Mapping[str, Any], group: str) -> frozenset[str]:
    """The tracks that a case about the alert could take.

    Of an alert under a policy's pack both `ule` and `deadline`: which one it is depends on the site's assessment, and
    is decided when a case opens.
    """
    pack = all_packs().get(document["pack"] or "")
    if pack is None:
        return frozenset({Track.EVASION} if group in (Group.INTEGRITY, Group.ORDER) else ())
    return frozenset({Track.STATUTORY} if pack.kind == "statutory" else {Track.ULE, Track.DEADLINE})


def route_for(hearer: Hearer, subject: Subject) -> Route | None:
    """The route that takes an alert; None where the receiver is not to hear of it."""
    if not _may_hear(hearer, subject):
        return None
    found = next((route for route in hearer.routes if matches(route, subject)), None)
    return SYSTEM if found is None and subject.site is None else found


def matches(route: Route, subject: Subject) -> bool:
    return (
        SEVERITIES.index(subject.severity) >= SEVERITIES.index(route.at_least)
        and (not route.regions or subject.region in route.regions)
        and (not route.sites or subject.site in route.sites)
        and (not route.groups or subject.group in route.groups)
        and (not route.rules or subject.rule in route.rules)
        and (not route.tracks or not subject.tracks.isdisjoint(route.tracks))
    )


def _may_hear(hearer: Hearer, subject: Subject) -> bool:
    if subject.site is None:
        return hearer.system and subject.receiver_id != hearer.receiver_id
    return (not hearer.sites or subject.site in hearer.sites) and (
        not hearer.regions or subject.region in hearer.regions
    )


def settings_of(routes: Sequence[Route], name: str) -> Route | None:
    """The route called *name* as it is now; None where it was taken away."""
    return next((route for route in (*routes, SYSTEM) if route.name == name), None)
