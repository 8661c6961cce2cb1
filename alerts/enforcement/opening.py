"""Opening a case: by the rule stage for a breached month, or by hand.

There is one open case for (site, units, track); what else is found out about them joins it as a record. The
decisions are in `pins`; this is the shell, and runs inside the caller's transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from alerts.enforcement.chain import utc_text
from alerts.enforcement.history import Entry, History, append, checked_text, load, move
from alerts.enforcement.pins import case_id, month_of, pinned, track_for, units_for
from alerts.enforcement.workflow import ATTACH, OPEN, SYSTEM, State, Track, opener
from plant.errors import BadDocument, Fault, NotFound, Refused, Unavailable
from plant.packs import all_packs
from plant.register import Stack
from store import cases
from store.pool import Connection
from store.register import RegisteredSite, site_by_code

logger = logging.getLogger(__name__)

STAGE: Final = "rule stage"
"""Who opened a case that no person opened."""

ALERT_KEYS: Final = (
    "id",
    "rule",
    "state",
    "stack",
    "pollutant",
    "pack",
    "period_start",
    "period_end",
    "observed",
    "limit",
    "unit",
    "clause",
    "evidence",
)
"""The numbers of an alert that a record repeats."""

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """What one opening writes, whoever asked for it."""

    units: tuple[str, ...]
    track: Track
    seed: str
    pack: str | None
    role: str
    actor: str
    reason: str
    at: datetime
    recorded_at: datetime
    numbers: Mapping[str, Any]
    alert_id: str | None = None
    joins: bool = True  #: an open case of these units and track takes it in; else it is refused
    stack: Stack | None = None


def alert_numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ALERT_KEYS}


async def open_case_for_month(conn: Connection, alert_id: str, *, now: datetime) -> str | None:
    """The case that the breached month of an alert opens or joins; None where it is no matter for one.

    Repeating it changes nothing: an alert that is part of a case, open or ended, stays with that case.
    """
    known = await cases.cases_of_alert(conn, alert_id)
    if known:
        return known[0]
    facts, registered = await _alert(conn, alert_id)
    site, region = registered.site, registered.region
    stack = next((item for item in site.stacks if item.code == facts.stack), None)
    if stack is None:
        return None
    month = month_of(facts.period_start, site.zone)
    track = track_for(region, site, stack, month)
    if track is None:
        return None
    accepted = site.assessment.get("organized")
    deadline = region.deadline_for(stack.process)
    why = (
        f"accepted as ultra-low emission on {accepted}"
        if accepted and track is Track.ULE
        else "without accepted assessment"
    )
    opening = _Opening(
        units=units_for(site, stack),
        track=track,
        seed=alert_id,
        pack=facts.pack,
        role=SYSTEM,
        actor=STAGE,
        reason=f"{_pollutant(facts)} at {stack.code} breached {month:%Y-%m}, after {deadline}, {why}",
        at=now,
        recorded_at=now,
        numbers={"alert": alert_numbers(facts.document), "month": f"{month:%Y-%m}"},
        alert_id=alert_id,
        stack=stack,
    )
    return await _open(conn, registered, opening)


async def open_for_alert(
    conn: Connection,
    *,
    alert_id: str,
    actor: str,
    roles: Collection[str],
    now: datetime,
    track: str | None = None,
    reason: str | None = None,
) -> str:
    """Open, or find, the case of an alert that a person of the agency takes up."""
    role = opener(roles)
    facts, registered = await _alert(conn, alert_id)
    for known in await cases.cases_of_alert(conn, alert_id):
        case = await cases.find(conn, known)
        if case is not None and case.closed_at is None:
            return known
    stack = next((item for item in registered.site.stacks if item.code == facts.stack), None)
    chosen = _track(track) if track else _track_of_alert(facts, registered, stack)
    at = await _site_time(conn, registered, now)
    opening = _Opening(
        units=units_for(registered.site, stack),
        track=chosen,
        seed=alert_id,
        pack=facts.pack,
        role=role,
        actor=actor,
        reason=checked_text("reason", f"taken up alert {alert_id}" if reason is None else reason),
        at=at,
        recorded_at=now,
        numbers={"alert": alert_numbers(facts.document)},
        alert_id=alert_id,
        stack=stack,
    )
    if await cases.find(conn, case_id(registered.site.code, opening.units, chosen, alert_id)) is not None:
        opening = _again(opening)
    return await _open(conn, registered, opening)


async def open_for_tip(
    conn: Connection,
    *,
    site: str,
    text: str,
    actor: str,
    roles: Collection[str],
    now: datetime,
    track: str = Track.EVASION,
) -> str:
    """Open a case on what somebody told the agency about *site*, or add it to the open one."""
    role = opener(roles)
    registered = await _registered(conn, site)
    opening = _Opening(
        units=_site_units(registered),
        track=_track(track),
        seed=f"{text}|{utc_text(now)}",
        pack=None,
        role=role,
        actor=actor,
        reason=checked_text("tip", text),
        at=await _site_time(conn, registered, now),
        recorded_at=now,
        numbers={"tip": text},
    )
    return await _open(conn, registered, opening)


async def open_for_site(
    conn: Connection, *, site: str, track: str, reason: str, actor: str, roles: Collection[str], now: datetime
) -> str:
    """Open a case about all units of *site*; `Refused` naming the open one where there is one."""
    role = opener(roles)
    registered = await _registered(conn, site)
    opening = _Opening(
        units=_site_units(registered),
        track=_track(track),
        seed=f"{reason}|{utc_text(now)}",
        pack=None,
        role=role,
        actor=actor,
        reason=checked_text("reason", reason),
        at=await _site_time(conn, registered, now),
        recorded_at=now,
        numbers={},
        joins=False,
    )
    return await _open(conn, registered, opening)


async def _open(conn: Connection, registered: RegisteredSite, opening: _Opening) -> str:
    """Insert the case, or join the open one. Two that open at once meet at the index and take turns."""
    site = registered.site
    new_id = case_id(site.code, opening.units, opening.track, opening.seed)
    on = opening.at.astimezone(site.zone).date()
    pins = pinned(
        region=registered.region,
        site=site,
        versions=registered.versions,
        packs=all_packs(),
        units=opening.units,
        pack=opening.pack,
        deadline=registered.region.deadline_for(opening.stack.process if opening.stack else "*"),
        on=on,
    )
    for _ in range(_ATTEMPTS):
        if await cases.insert(
            conn,
            case_id=new_id,
            site_id=registered.site_id,
            units=opening.units,
            track=opening.track,
            state=State.DETECTED,
            opened_at=opening.at,
            pinned=pins,
        ):
            await _begin(conn, registered, new_id, opening)
            return new_id
        open_id = await cases.find_open(conn, registered.site_id, opening.units, opening.track)
        if open_id is not None and await _join(conn, open_id, opening):
            return open_id
    raise Unavailable(f"the open case of {site.code} {', '.join(opening.units)} changed hands {_ATTEMPTS} times")


async def _begin(conn: Connection, registered: RegisteredSite, new_id: str, opening: _Opening) -> None:
    case = await cases.lock(conn, new_id)
    assert case is not None
    if opening.alert_id is not None:
        await cases.attach(conn, new_id, opening.alert_id)
    entry = _entry(OPEN, None, State.DETECTED, opening)
    await append(conn, case, History(), entry)
    await move(conn, case, entry, registered.site.zone)


async def _join(conn: Connection, open_id: str, opening: _Opening) -> bool:
    """Add *opening* to the open case; False where that ended meanwhile."""
    case = await cases.lock(conn, open_id)
    if case is None or case.closed_at is not None:
        return False
    if not opening.joins:
        raise Refused(f"{open_id} on the track {case.track} about {', '.join(case.units)} is open and {case.state}")
    if opening.alert_id is not None and not await cases.attach(conn, open_id, opening.alert_id):
        return True
    try:
        history = await load(conn, case)
    except Refused as damaged:
        if opening.role != SYSTEM:
            raise
        # A damaged file must not stop the rule stage: its alert is attached, and no record built on the damage.
        logger.error("case_damaged", extra={"case_id": open_id, "reason": str(damaged)})
        return True
    await append(conn, case, history, _entry(ATTACH, history.state, history.state, opening))
    return True


def _entry(action: str, before: State | None, after: State, opening: _Opening) -> Entry:
    return Entry(
        action=action,
        before=before,
        after=after,
        role=opening.role,
        actor=opening.actor,
        at=opening.at,
        recorded_at=opening.recorded_at,
        reason=opening.reason,
        numbers=opening.numbers,
    )


def _again(opening: _Opening) -> _Opening:
    """The same under another id: a person takes up an alert whose first case has ended."""
    return replace(opening, seed=f"{opening.seed}|{utc_text(opening.recorded_at)}")


def _track_of_alert(facts: cases.AlertFacts, registered: RegisteredSite, stack: Stack | None) -> Track:
    """What an alert is about by its pack: a limit of the law or a policy; without a pack, honesty."""
    pack = all_packs().get(facts.pack or "")
    if pack is None:
        return Track.EVASION
    if pack.kind == "statutory":
        return Track.STATUTORY
    month = month_of(facts.period_start, registered.site.zone)
    by_month = track_for(registered.region, registered.site, stack, month) if stack else None
    return by_month or Track.ULE


def _track(name: str) -> Track:
    try:
        return Track(name)
    except ValueError:
        raise BadDocument("case", [Fault("track", f"must be one of {', '.join(Track)}, got {name!r}")]) from None


def _pollutant(facts: cases.AlertFacts) -> str:
    return str(facts.document["pollutant"] or "a limit").upper()


def _site_units(registered: RegisteredSite) -> tuple[str, ...]:
    units = units_for(registered.site, None)
    if not units:
        raise Refused(f"site {registered.site.code} has neither units nor stacks in the register: nothing to act on")
    return units


async def _alert(conn: Connection, alert_id: str) -> tuple[cases.AlertFacts, RegisteredSite]:
    facts = await cases.alert_facts(conn, alert_id)
    if facts is None:
        raise NotFound(f"there is no alert {alert_id!r}")
    return facts, await _registered(conn, facts.site)


async def _registered(conn: Connection, site: str) -> RegisteredSite:
    registered = await site_by_code(conn, site)
    if registered is None:
        raise NotFound(f"there is no site {site!r}")
    return registered


async def _site_time(conn: Connection, registered: RegisteredSite, now: datetime) -> datetime:
    """*now* on the site's clock: a simulated site runs on its own."""
    if not registered.site.simulated:
        return now
    return await cases.simulated_clock(conn, registered.site_id) or now
