"""`doctor`: what is wrong with this installation, in sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.routes.health import COMPONENTS, judge, nobody_takes, said_of_judging, said_of_receivers, shares_of
from plant.broker import BrokerAddress, broker_of
from plant.errors import PlantError, Refused, Unavailable
from plant.packs import all_packs
from plant.settings import Settings
from plant.shares import Share, uncovered
from stackwatch.local.mqtt_probe import ask
from stackwatch.reach import reach
from stackwatch.running import FAILED
from store import aside, receivers, shards
from store.health import Beat, beats
from store.migrate import pending
from store.pool import Connection, connect
from store.queue import SHARDS
from store.register import regions_of_sites

BEHIND_MIN: Final = 30  #: a full load's hour that ended takes some of this; see docs/operations.md

# Not what only a new version of a pack or of the program asks for, nor what is set aside, which is said by itself.
_WAITING: Final = """
SELECT count(*), bool_or(q.asked_at < now() - interval '30 min' AND q.reason NOT IN ('pack', 'features')
                         AND a.stack_id IS NULL)
FROM rejudge q LEFT JOIN set_aside a USING (stack_id)
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was looked at."""

    ok: bool
    sentence: str


async def doctor(database_url: str | None, mqtt_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(
        database_url=database_url, mqtt_url=mqtt_url, data=data, needs=(), wants=("database_url", "mqtt_url")
    )
    found = [said async for said in look(settings)]
    if as_json:
        print(json.dumps([{"ok": said.ok, "sentence": said.sentence} for said in found]))
    else:
        for said in found:
            print(f"{'ok   ' if said.ok else 'WRONG'}  {said.sentence}")
    if not all(said.ok for said in found):
        raise SystemExit(FAILED)


async def look(settings: Settings) -> AsyncIterator[Said]:
    yield Said(True, f"Python {sys.version.split()[0]}")
    try:
        yield Said(True, f"{len(all_packs())} rule packs are in order")
    except PlantError as error:
        yield Said(False, f"a rule pack is broken: {error}")
    if not settings.mqtt_url:
        yield Said(False, "no broker is known: set STACKWATCH_MQTT_URL, or give --data of a running `stackwatch up`")
    else:
        for node in broker_of(settings).nodes:
            yield await _broker(node)
    if not settings.database_url:
        yield Said(
            False, "no database is known: set STACKWATCH_DATABASE_URL, or give --data of a running `stackwatch up`"
        )
        return
    try:
        async with await connect(settings.database_url, name="doctor", autocommit=True) as conn:
            async for said in _database(conn):
                yield said
    except PlantError as error:
        yield Said(False, f"the database does not answer: {error}")


async def _broker(address: BrokerAddress) -> Said:
    """Whether a node answers as MQTT, and lets us in if we can say who we are."""
    place = f"the broker at {address.host}:{address.port}"
    try:
        await ask(address)
    except Unavailable as error:
        return Said(False, f"{place} does not answer: {error}")
    except Refused as error:
        if address.username is None and address.cert_file is None:
            return Said(True, f"{place} answers; it lets nobody in who does not say who they are ({error})")
        return Said(False, f"{place} does not let us in: {error}")
    return Said(True, f"{place} answers")


async def _database(conn: Connection) -> AsyncIterator[Said]:
    row = await (await conn.execute("SELECT current_setting('server_version')")).fetchone()
    assert row is not None
    yield Said(True, f"the database answers: PostgreSQL {row[0]}")
    row = await (await conn.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")).fetchone()
    yield Said(True, f"TimescaleDB {row[0]}" if row else "plain PostgreSQL, without TimescaleDB: right for one machine")
    missing = await pending(conn)
    if missing:
        yield Said(False, f"the schema lacks {', '.join(missing)}: run `stackwatch migrate`")
        return
    yield Said(True, "the schema is current")
    async for said in _system(conn):
        yield said


async def _system(conn: Connection) -> AsyncIterator[Said]:
    row = await (await conn.execute("SELECT (SELECT count(*) FROM site), (SELECT count(*) FROM stack)")).fetchone()
    assert row is not None
    if row[0]:
        yield Said(True, f"registered sites: {row[0]}, with stacks: {row[1]}")
    else:
        yield Said(False, "no site is registered: run `stackwatch register FILE`")
    seen = await beats(conn)
    for component, words in COMPONENTS.items():
        check = judge(component, words, seen)
        yield Said(check["ok"], check["detail"])
    for said in division(await regions_of_sites(conn), seen):
        yield said
    async for said in look_at_judging(conn, seen):
        yield said
    check = said_of_receivers(await receivers.states(conn))
    yield Said(check["ok"], check["detail"] + ("" if check["ok"] else ": GET /v1/receivers says why"))
    row = await (await conn.execute("SELECT count(*) FROM quarantine WHERE status = 'held'")).fetchone()
    assert row is not None
    yield Said(not row[0], f"{row[0]} payloads are in quarantine" + (": GET /v1/quarantine says why" if row[0] else ""))


async def look_at_judging(conn: Connection, seen: Sequence[Beat]) -> AsyncIterator[Said]:
    """The rule stages that run, how far behind they are, and what failed."""
    for owner, held in (await shards.workers(conn)).items():
        yield Said(True, f"the rule stage {owner} works on {held} of {SHARDS} shards of the stacks")
    row = await (await conn.execute(_WAITING)).fetchone()
    assert row is not None
    late = f", some of them for more than {BEHIND_MIN} minutes" if row[1] else ""
    yield Said(not row[1], f"{row[0]} hours wait to be judged{late}")
    set_aside = await aside.count(conn)
    check = said_of_judging(set_aside, seen)
    yield Said(check["ok"], check["detail"])
    for left in await aside.listed(conn):
        times = f"{left.failures} times since {left.since:%Y-%m-%d %H:%M}"
        yield Said(False, f"stack {left.site}/{left.stack} is set aside, failed {times}: {left.reason}")


def division(regions: Mapping[str, str], seen: Sequence[Beat]) -> list[Said]:
    """Whether the ingestors that are well take all sites together; nothing where none is, which is said elsewhere."""
    shares = shares_of(seen)
    if not shares:
        return []
    found = []
    if left := uncovered(regions, shares):
        advice = "give them to one by STACKWATCH_INGESTOR_REGIONS or STACKWATCH_INGESTOR_SITES"
        found.append(Said(False, f"{nobody_takes(len(left), left)}: {advice}"))
    elif len(shares) > 1:
        found.append(Said(True, f"{len(shares)} running ingestors take all sites together"))
    if (whole := shares.count(Share())) > 1:
        advice = "divide them by STACKWATCH_INGESTOR_GROUP, _REGIONS or _SITES"
        found.append(Said(False, f"{whole} ingestors each read every message, and it is stored once: {advice}"))
    return found
