"""What a case is about and what it holds fast when it opens: units, track, limits, versions, policy.

Pure. A pack, a register or a policy may change while a case runs; the case goes on under those it began with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.enforcement.conditions import SUSPEND, Watched
from alerts.enforcement.workflow import Track
from plant.packs import Pack
from plant.register import Region, Site, Stack


def track_for(region: Region, site: Site, stack: Stack, month: date) -> Track | None:
    """The track of a breached *month* (its first day) at *stack*; None where it opens no case.

    A month counts when it began after the region's deadline for the process. A site without an accepted
    assessment missed that deadline; an assessed one no longer shows what it was accepted for.
    """
    deadline = region.deadline_for(stack.process)
    if deadline is None or month <= deadline:
        return None
    return Track.ULE if site.assessed_before(month) else Track.DEADLINE


def month_of(at: datetime, zone: ZoneInfo) -> date:
    """The first day of the site's local month that *at* lies in."""
    return at.astimezone(zone).date().replace(day=1)


def units_for(site: Site, stack: Stack | None) -> tuple[str, ...]:
    """The units a case about *stack* concerns: its own, else all of the site's, else the stack itself."""
    if stack is not None and stack.units:
        return tuple(sorted(stack.units))
    if site.units:
        return tuple(sorted(unit.code for unit in site.units))
    stacks = site.stacks if stack is None else (stack,)
    return tuple(sorted(item.code for item in stacks))


def case_id(site: str, units: Sequence[str], track: str, seed: str) -> str:
    """The id of the case that *seed* (an alert's id, or what a person wrote and when) opens."""
    text = "|".join((site, ",".join(units), track, seed))
    return "case-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def stacks_of(site: Site, units: Sequence[str]) -> list[Stack]:
    """The stacks through which *units* breathe."""
    return [stack for stack in site.stacks if not set(units).isdisjoint(units_for(site, stack))]


def watched(stacks: Sequence[Stack], packs: Mapping[str, Pack], only: str | None) -> list[Watched]:
    """What a trial must show clean: every pollutant limited at *stacks* by the pack *only*, or by any."""
    return [
        Watched(
            stack=stack.code,
            pollutant=limit.pollutant,
            pack=pack.name,
            pack_version=pack.version,
            limit=limit.mg_m3,
            decimals=pack.decimals,
        )
        for stack in stacks
        for pack in (packs[name] for name in stack.packs if name in packs and only in (None, name))
        if stack.process in pack.outlets
        for limit in pack.outlets[stack.process].limits.values()
    ]


def pinned(
    *,
    region: Region,
    site: Site,
    versions: Mapping[str, int],
    packs: Mapping[str, Pack],
    units: Sequence[str],
    pack: str | None,
    deadline: date | None,
    on: date,
) -> dict[str, Any]:
    """What a case opened on the day *on* holds fast, as JSON.

    The instrument is what a decision could have rested on that day. Without one a case opens all the same.
    """
    stacks = stacks_of(site, units)
    series = watched(stacks, packs, pack)
    text = region.instrument_for(SUSPEND, on)
    return {
        "packs": {item.pack: item.pack_version for item in series},
        "register": {
            "region": versions.get(f"region {region.code}"),
            "site": versions.get(f"site {site.code}"),
            "units": {code: versions.get(f"unit {site.code}/{code}") for code in units},
            "stacks": {stack.code: versions.get(f"stack {site.code}/{stack.code}") for stack in stacks},
        },
        "policy": {
            "deadline": deadline.isoformat() if deadline else None,
            "lift_after_clean_hours": region.lift_after_clean_hours,
            "instrument": text.citation() if text else None,
        },
        "watched": [
            {
                "stack": item.stack,
                "pollutant": item.pollutant,
                "pack": item.pack,
                "pack_version": item.pack_version,
                "limit": item.limit,
                "decimals": item.decimals,
            }
            for item in series
        ],
    }


def watched_from(document: Mapping[str, Any]) -> list[Watched]:
    """The watched series of a case from what it pinned."""
    return [Watched(**item) for item in document["watched"]]
