"""Marking the open alerts that are to be quiet: carries what `alerts.suppression` decides from and to the database.

Asked when alerts of a stack open or change or its source stops (`mark_stack`), when alerts about edges do
(`mark_sites_of`), and at each tick, when silences begin and end (`follow_silences`). An alert that opens quiet says so
in its own event; later it is the event `suppressed`, and `unsuppressed` when it is heard again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from alerts.rows import Events
from alerts.suppression import DATA_MISSING, EDGE_OFFLINE, SAID_AFTER_S, Circumstances, Open, Quiet, Silence, quiet
from store import findings, silences, suppressed
from store.pool import Connection
from store.suppressed import OpenRow, SilenceRow

TURN_S: Final = 10
TURNS: Final = 60  #: every site once in ten minutes


async def mark_stack(conn: Connection, stack_id: int, events: Events) -> Events:
    """Mark the open alerts of a stack; what is news beside *events*, which are to be announced after this."""
    rows = await suppressed.open_of_stack(conn, stack_id, said_after_s=SAID_AFTER_S)
    return await _mark(conn, rows, {alert_id for alert_id, _ in events})


async def mark_sites_of(conn: Connection, events: Events) -> Events:
    """Mark the open alerts of all sites that *events* are about; what is news beside them."""
    if not events:
        return []
    told = {alert_id for alert_id, _ in events}
    return await _mark_sites(conn, await suppressed.sites_of(conn, sorted(told)), told)


async def follow_silences(conn: Connection, *, now: datetime) -> None:
    """Let silences begin and end by the tick *now*, and announce what that does.

    Two transactions at the same instant do not see what the other opens, and some alerts may be quiet only once they
    have been heard. So every site is looked at again now and then, some of them at each tick.
    """
    turned = set(await silences.turn(conn, now=now))
    swept = await suppressed.sites_in_turn(conn, int(now.timestamp()) // TURN_S, TURNS)
    await findings.announce(conn, await _mark_sites(conn, sorted(turned.union(swept)), ()))


async def _mark_sites(conn: Connection, site_ids: Sequence[int], told: Collection[str]) -> Events:
    if not site_ids:
        return []
    return await _mark(conn, await suppressed.open_of_sites(conn, site_ids, said_after_s=SAID_AFTER_S), told)


async def _mark(conn: Connection, rows: Sequence[OpenRow], told: Collection[str]) -> Events:
    if not rows:
        return []
    decided = await _decided(conn, rows)
    changed = [
        (row, decided[row.alert_id]) for row in rows if Quiet(_reasons(row), row.plant_silence) != decided[row.alert_id]
    ]
    if changed:
        await suppressed.put(conn, [(row.alert_id, now.reasons, now.plant_silence) for row, now in changed])
    events: Events = []
    for row, now in changed:
        before, after = bool(row.suppressed_by), bool(now.reasons)
        if before != after and row.alert_id not in told:
            events.append((row.alert_id, "suppressed" if after else "unsuppressed"))
    return events


async def _decided(conn: Connection, rows: Sequence[OpenRow]) -> dict[str, Quiet]:
    by_site: dict[int, list[OpenRow]] = defaultdict(list)
    for row in rows:
        by_site[row.site_id].append(row)
    stopped = await suppressed.stopped(conn, list(by_site))
    fed_by = await suppressed.fed_by(conn, _asked_for_edges(rows))
    in_force = await suppressed.silences(conn, list(by_site))
    found: dict[str, Quiet] = {}
    for site_id, listed in by_site.items():
        here = Circumstances(
            stopped={code for site, code in stopped if site == site_id},
            fed_by={code: edges for (site, code), edges in fed_by.items() if site == site_id},
            silences=tuple(_silence(row) for row in in_force if row.site_id == site_id),
        )
        found |= quiet((_open(row) for row in listed), here)
    return found


def _asked_for_edges(rows: Iterable[OpenRow]) -> list[tuple[int, str]]:
    """The stacks without data at sites of which an edge is offline: only there it matters who feeds them."""
    listed = list(rows)
    offline = {row.site_id for row in listed if row.rule == EDGE_OFFLINE}
    return sorted(
        {
            (row.site_id, row.stack)
            for row in listed
            if row.rule == DATA_MISSING and row.stack is not None and row.site_id in offline
        }
    )


def _reasons(row: OpenRow) -> tuple[dict[str, object], ...]:
    return tuple(row.suppressed_by or ())


def _open(row: OpenRow) -> Open:
    return Open(
        alert_id=row.alert_id,
        rule=row.rule,
        severity=row.severity,
        region=row.region,
        site=row.site,
        stack=row.stack,
        pollutant=row.pollutant,
        pack=row.pack,
        month=row.month,
        edge=row.edge,
        said=row.said,
    )


def _silence(row: SilenceRow) -> Silence:
    return Silence(
        silence_id=row.silence_id,
        by_plant=row.by_plant,
        region=row.region,
        site=row.site,
        stack=row.stack,
        rules=tuple(row.rules),
        severities=tuple(row.severities),
    )
