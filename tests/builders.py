"""Small builders with defaults: a register, payloads, and the pipe without a broker on a clock of the test's."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool

from alerts.edges import keep_books
from alerts.stage import Stage
from ingestor.intake import Incoming, Intake, Outcome
from plant import topics
from plant.packs import outlets_by_pack
from plant.register import read_register
from plant.settings import Settings
from store import clock, coverage, queue
from store.pool import Connection, open_pool, transaction
from store.register import import_register

ROOT: Final = "ule/v1"
GAS_TURBINE: Final = Path(__file__).parent / "data" / "gas_turbine_gt_2011.csv"

REGION: Final = """
[[region]]
code = "hebei"
name = "Hebei"
lift_after_clean_hours = 6
  [[region.deadline]]
  date = 2024-12-31
  [[region.instrument]]
  kind = "local_regulation"
  number = "fictional regulation No. 1"
  issuer = "nobody"
  article = "7"
  covers = ["suspend"]
  from = 2025-01-01
"""
WORKS: Final = (
    REGION
    + """
[[site]]
code = "works"
name = "A works"
region = "hebei"
timezone = "Asia/Shanghai"
  [[site.unit]]
  code = "S1"
  kind = "sinter_strand"
  [[site.stack]]
  code = "DA001"
  name = "Sinter head"
  process = "sinter_head"
  units = ["S1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
  judged_from = ["main", "backup"]
    [site.stack.channels.so2]
    range = [0, 200]
"""
)
POWER: Final = (
    REGION
    + """
[[site]]
code = "power"
name = "A power plant"
region = "hebei"
timezone = "Asia/Shanghai"
  [[site.unit]]
  code = "GT1"
  [[site.stack]]
  code = "GT"
  name = "Gas turbine"
  process = "gas_turbine"
  units = ["GT1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 3600
    [site.stack.channels.nox]
    reference = "corrected"
"""
)


def ms(at: str | datetime) -> int:
    """Epoch milliseconds."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return round(moment.timestamp() * 1000)


def a_frame(
    rows: Sequence[Mapping[str, Any]], *, session: str | None = None, seq: int | None = None, **head: Any
) -> bytes:
    """A frame by columns of *rows* in the form of shape 1."""
    names = dict.fromkeys(name for row in rows for name in row)
    frame: dict[str, Any] = {"schema": 1, **head}
    if session is not None:
        frame |= {"session": session, "seq": seq}
    frame |= {name: [row.get(name) for row in rows] for name in names if name != "flags"}
    flagged = dict.fromkeys(channel for row in rows for channel in row.get("flags") or {})
    if flagged:
        frame["flags"] = {c: [(row.get("flags") or {}).get(c) for row in rows] for c in flagged}
    return json.dumps(frame).encode()


def gas_turbine_nox() -> list[float]:
    """The NOx column of the trace, hour by hour. [mg/m3]"""
    with GAS_TURBINE.open(newline="") as file:
        return [float(row["NOX"]) for row in csv.DictReader(file)]


def settings(database_url: str, **others: Any) -> Settings:
    return Settings(database_url=database_url, mqtt_url="mqtt://127.0.0.1:1", **others)


class Pipe:
    """Ingest and rule stage in this process, called by hand; the clock is what the test ticks."""

    def __init__(self, pool: AsyncConnectionPool[Connection], config: Settings) -> None:
        self.pool = pool
        self.intake = Intake(pool, ROOT, "test")
        self.stage = Stage(config, pool)
        self.lets_fail = False  #: a test of failing lets stacks be set aside

    async def publish(
        self, payload: bytes, *, site: str = "works", edge: str = "e1", received_at: datetime | None = None
    ) -> Outcome:
        return await self.publish_all([payload], site=site, edge=edge, received_at=received_at)

    async def publish_all(
        self,
        payloads: Iterable[bytes],
        *,
        site: str = "works",
        edge: str = "e1",
        received_at: datetime | None = None,
    ) -> Outcome:
        at = received_at or datetime.now(UTC)
        return await self.intake.commit([Incoming(topics.data(ROOT, site, edge), payload, at) for payload in payloads])

    async def tick(self, at: str | datetime) -> None:
        """Commit the clock and judge all that is asked."""
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        async with transaction(self.pool) as conn:
            await clock.put_tick(conn, moment, "test")
            await queue.ask_for_ended(conn, 120)
        await self.judge()

    async def judge(self) -> None:
        while await self.stage.judge_some():
            pass
        while await self.stage.number_some():
            pass
        if not self.lets_fail:
            assert await self.rows("SELECT stack_id, reason FROM set_aside") == [], "no stack's judging failed"

    async def keep_books(self) -> None:
        """Fold and judge the books as the leader does at a tick."""
        async with transaction(self.pool) as conn:
            now = await clock.newest_tick(conn)
        more = now is not None
        while more and now is not None:
            async with transaction(self.pool) as conn:
                more = await keep_books(conn, now=now)

    async def note_missing(self) -> int:
        """Count what is missing of hours that ended, as the leader does at a tick; at how many sites."""
        async with transaction(self.pool) as conn:
            now = await clock.newest_tick(conn)
            return 0 if now is None else await coverage.note_missing(conn, now=now)

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with transaction(self.pool) as conn:
            cursor = await conn.execute(query.encode(), list(values))
            return list(await cursor.fetchall())


@asynccontextmanager
async def a_pipe(database_url: str, register: str = WORKS) -> AsyncIterator[Pipe]:
    async with open_pool(database_url, name="test") as pool:
        await put_register(pool, register)
        yield Pipe(pool, settings(database_url))


async def put_register(pool: AsyncConnectionPool[Connection], text: str) -> list[str]:
    tables = tomllib.loads(text, parse_float=Decimal)
    read_register(tables, "test", packs=outlets_by_pack())
    async with transaction(pool) as conn:
        return await import_register(conn, tables, by="test")


def minutes(start: str, n: int, *, stack: str = "DA001", step_s: int = 60, **values: Any) -> list[dict[str, Any]]:
    """*n* rows of *stack* from *start*, one each *step_s* seconds, all with *values*."""
    first = datetime.fromisoformat(start)
    return [
        {"stack": stack, "sampled_at": (first + timedelta(seconds=step_s * i)).isoformat(), **values} for i in range(n)
    ]
