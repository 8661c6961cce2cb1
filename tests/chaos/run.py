"""One run: start, do the faults, let the system come to rest, compare."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from chaos import clocks
from chaos.comparing import answers, kept, other_answers, other_books, other_rows, quiet_answers
from chaos.evidence import held_up, note_where_all_stand
from chaos.faults import Faults
from chaos.material import Material, material
from chaos.mischief import Mischief
from chaos.plan import Plan, Report
from chaos.schedule import EDGES, PROFILES, Kind, schedule
from chaos.stand import ROOT, Ground, Stand, stand
from plant.errors import Unavailable
from services.databases import database
from store import quarantine
from store.migrate import migrate
from store.pool import Connection, connect
from store.scope import EVERYWHERE

STARTED_S: Final = 240.0
STILL_S: Final = 150.0  #: without any change, and a system that has not come to rest never will
REST_S: Final = 420.0  #: for a system that changes all the time
_POLL_S: Final = 0.2
_LONG_S: Final = 20.0  #: after which, and as often, it is noted what everybody does
_NOTES: Final = "chaos.log"
_AHEAD: Final = "ahead"  #: in the reason of a row that a wrong clock sent into quarantine


class NotInTime(Exception):
    """The system did not come to rest."""


async def run(on: Ground, plan: Plan) -> Report:
    """Run *plan* and compare; a system that does not come to rest is a fault like any other."""
    began = time.monotonic()
    measured, left_out = material(plan.seed), _cannot_be_done(on)
    planned = schedule(plan.seed, PROFILES[plan.profile], faults=plan.faults, without=left_out)
    report = Report(plan, planned, left_out=left_out, rows=measured.rows)
    async with stand(on, plan.seed, plan.broker_kind(), plan.division(), measured) as there:
        try:
            async with held_up(there.folder / _NOTES) as report.held_up_s:
                await _story(there, plan, measured, report)
        except NotInTime as error:
            report.faults.append(str(error))
            report.faults += await _beats(there)
        report.faults += [words for actor in there.actors.values() for words in actor.ended if not _excused(words)]
        if report.faults and plan.keep is not None:
            await asyncio.to_thread(_keep_logs, there, plan.keep / f"seed-{plan.seed}")
    report.seconds = time.monotonic() - began
    return report


async def _beats(there: Stand) -> list[str]:
    """What the processes say of themselves."""
    async with await connect(there.database_url, name="chaos") as conn:
        query = "SELECT component, instance, ok, now() - beat_at, detail FROM heartbeat ORDER BY 1, 2"
        return [
            f"{row[0]} of {row[1]}: ok {row[2]}, {row[3]} ago, {row[4]}"
            for row in await (await conn.execute(query)).fetchall()
        ]


def _keep_logs(there: Stand, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for log in [*there.folder.rglob("*.log"), *there.ground.folder.glob("database/data/logs/*.log")]:
        shutil.copy(log, place)


def _cannot_be_done(on: Ground) -> tuple[Kind, ...]:
    no_disks = () if on.why_no_disks is None else (Kind.FILL_DISK,)
    no_clocks = () if clocks.library() is not None else (Kind.STEP_CLOCK, Kind.BEFORE_ROWS)
    return (*no_disks, *no_clocks)


def _excused(words: str) -> bool:
    """An edge that starts on a full disk can keep nothing, says so and ends."""
    return words.startswith(EDGES) and "outbox" in words and "full" in words


async def _story(there: Stand, plan: Plan, measured: Material, report: Report) -> None:
    for actor in there.actors.values():
        actor.start()
    keepers = [asyncio.create_task(actor.keep(), name=f"keep {actor.name}") for actor in there.actors.values()]
    keepers.append(asyncio.create_task(there.reader.run(), name="reader"))
    try:
        with Mischief(there.broker.url, ROOT) as mischief:
            await _traffic(mischief)
            await Faults(there, mischief, plan.seed, report.done).run(report.schedule)
            report.repeated = mischief.repeated
            began = time.monotonic()
            await _rest(there)
            report.rest_s = time.monotonic() - began
        report.faults += await _compared(there, measured)
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.wait(keepers)
        for keeper in keepers:
            if not keeper.cancelled():
                keeper.result()


async def _traffic(mischief: Mischief) -> None:
    """Wait until every edge publishes: on a slow machine faults would else meet processes that only start."""
    end = time.monotonic() + STARTED_S
    while len(mischief.speakers) < len(EDGES):
        if time.monotonic() > end:
            raise NotInTime(f"not within {STARTED_S:g} s: only {sorted(mischief.speakers)} publish")
        await asyncio.sleep(_POLL_S)


async def _rest(there: Stand) -> None:
    """Wait until every trace has its receipts, what a wrong clock refused is let in, and all is judged."""
    edges = [there.actors[name] for name in EDGES]

    async def published(conn: Connection) -> str | None:
        left = [edge.name for edge in edges if not edge.done]
        came = await (await conn.execute("SELECT count(*), sum(deliveries) FROM batch")).fetchone() or (0, 0)
        words = f"edges {', '.join(left)} still wait for receipts; {came[0]} frames came, {came[1]} times in all"
        return words if left else None

    async def let_in(conn: Connection) -> str | None:
        cursor = await conn.execute(
            "SELECT quarantine_id, status FROM quarantine WHERE reason LIKE %s AND status <> 'stored'", [f"%{_AHEAD}%"]
        )
        left = await cursor.fetchall()
        for quarantine_id, status in left:
            if status == "held":
                await quarantine.release(conn, EVERYWHERE, quarantine_id, by="chaos")
        return f"{len(left)} payloads that a wrong clock refused are not stored" if left else None

    async def judged(conn: Connection) -> str | None:
        queries = ("SELECT count(*) FROM rejudge", "SELECT count(*) FROM alert_event WHERE feed_number IS NULL")
        left = [(await (await conn.execute(query.encode())).fetchone() or (1,))[0] for query in queries]
        return f"{left[0]} hours are not judged, {left[1]} events not in the feed" if any(left) else None

    async def read(conn: Connection) -> str | None:
        newest = (await (await conn.execute("SELECT max(feed_number) FROM alert_event")).fetchone() or (None,))[0]
        last = there.reader.numbers[-1] if there.reader.numbers else None
        return None if newest == last else f"the reader has events up to {last} of {newest}"

    end = time.monotonic() + REST_S
    for lacks in (published, let_in, judged, read):
        await _until(there, lacks, end)


async def _until(there: Stand, lacks: Callable[[Connection], Awaitable[str | None]], end: float) -> None:
    """Wait until *lacks* says that nothing is lacking; `NotInTime` with what is.

    A busy machine is given time as long as anything changes: how fast the system is, is asked elsewhere.
    """
    what: str | None = "the database does not answer"
    changed = looked = time.monotonic()
    while True:
        before = what
        with suppress(Unavailable, psycopg.OperationalError):
            async with await connect(there.database_url, name="chaos") as conn:
                what = await lacks(conn)
        if what is None:
            return
        now = time.monotonic()
        if what != before:
            changed = now
        if now > min(end, changed + STILL_S):
            raise NotInTime(f"not at rest, and for {now - changed:.0f} s without a change: {what}")
        if now > looked + _LONG_S:
            looked = now
            await note_where_all_stand(there.folder / _NOTES, there.actors.values(), there.database_url, what)
        await asyncio.sleep(_POLL_S)


async def _compared(there: Stand, measured: Material) -> list[str]:
    """What does not hold."""
    name = f"quiet_{secrets.token_hex(4)}"
    with database(there.ground.server.url, name) as quiet_url:
        await migrate(quiet_url)
        quiet = await quiet_answers(quiet_url, measured)
    outboxes = {(site, edge): kept(there.outbox(edge, site)) for edge, site in measured.sites().items()}
    faults = [f"the outbox of {edge} has {k}" for (_, edge), k in outboxes.items() if k.dropped or k.waiting]
    async with await connect(there.database_url, name="chaos") as conn:
        faults += await other_rows(conn, measured.expected())
        faults += await other_books(conn, {edge: kept.made for edge, kept in outboxes.items()})
        faults += other_answers(await answers(conn), quiet)
        held = await (await conn.execute("SELECT reason FROM quarantine WHERE status <> 'stored' LIMIT 3")).fetchall()
        faults += [f"in quarantine: {reason}" for (reason,) in held]
        feed = await (await conn.execute("SELECT count(*), max(feed_number) FROM alert_event")).fetchone()
        if feed is None or feed[0] != feed[1]:
            faults.append(f"the feed has a gap or a repeat: {feed}")
        else:
            faults += there.reader.faults(feed[0])
        conflicts = await (await conn.execute("SELECT count(*) FROM measurement_conflict")).fetchone()
        if conflicts != (0,):
            faults.append(f"conflicts where nobody contradicts: {conflicts}")
    return faults
