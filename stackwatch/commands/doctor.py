"""`doctor`: what is wrong with this installation, in sentences."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.routes.health import COMPONENTS, judge
from plant.broker import broker_address
from plant.errors import PlantError
from plant.packs import all_packs
from plant.settings import Settings
from stackwatch.reach import reach
from stackwatch.running import FAILED
from store.health import beats
from store.migrate import pending
from store.pool import Connection, connect

ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was looked at."""

    ok: bool
    sentence: str


async def doctor(database_url: str | None, mqtt_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(database_url=database_url, mqtt_url=mqtt_url, data=data, needs=())
    found = [said async for said in _look(settings)]
    if as_json:
        print(json.dumps([{"ok": said.ok, "sentence": said.sentence} for said in found]))
    else:
        for said in found:
            print(f"{'ok   ' if said.ok else 'WRONG'}  {said.sentence}")
    if not all(said.ok for said in found):
        raise SystemExit(FAILED)


async def _look(settings: Settings) -> AsyncIterator[Said]:
    yield Said(True, f"Python {sys.version.split()[0]}")
    try:
        yield Said(True, f"{len(all_packs())} rule packs are in order")
    except PlantError as error:
        yield Said(False, f"a rule pack is broken: {error}")
    if not settings.mqtt_url:
        yield Said(False, "no broker is known: set STACKWATCH_MQTT_URL, or give --data of a running `stackwatch up`")
    else:
        yield await _broker(settings)
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


async def _broker(settings: Settings) -> Said:
    address = broker_address(settings.mqtt_url)
    place = f"{address.host}:{address.port}"
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError) as error:
        return Said(False, f"the broker at {place} does not answer: {str(error) or 'no answer in time'}")
    writer.close()
    return Said(True, f"the broker at {place} listens")


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
        yield Said(True, f"{row[0]} sites with {row[1]} stacks are registered")
    else:
        yield Said(False, "no site is registered: run `stackwatch register FILE`")
    seen = await beats(conn)
    for component, words in COMPONENTS.items():
        check = judge(component, words, seen)
        yield Said(check["ok"], check["detail"])
    row = await (await conn.execute("SELECT count(*), now() - min(asked_at) > '5 min' FROM rejudge")).fetchone()
    assert row is not None
    yield Said(
        not row[1], f"{row[0]} hours wait to be judged" + (", some for more than five minutes" if row[1] else "")
    )
    row = await (await conn.execute("SELECT count(*) FROM quarantine WHERE status = 'held'")).fetchone()
    assert row is not None
    yield Said(not row[0], f"{row[0]} payloads are in quarantine" + (": GET /v1/quarantine says why" if row[0] else ""))
