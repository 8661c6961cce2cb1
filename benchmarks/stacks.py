"""Stacks of a country for the benchmarks of the rule stage: registered, with a month behind them, and their rows.

The month of one site is judged and copied to the stacks of all others: rules look back on it and compare the stacks of
a site, so a stack without one, or like its neighbours, would not be judged for what it costs.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from alerts.stage import Stage
from benchmarks.shape import ROOT
from ingestor.intake import Incoming, Intake
from plant import topics, wire
from store import clock, queue
from store.pool import Connection, transaction
from store.register import import_register

Pool = AsyncConnectionPool[Connection]

INTERVAL_S: Final = 10
STACKS_A_SITE: Final = 25
HISTORY_DAYS: Final = 33
PAST_INTERVAL_S: Final = 300  #: of the rows of the past: its hours are as long, and written sooner
#: A past hour, the 20th of its month at noon, so that the month is well under way.
START: Final = datetime(2026, 10, 20, 4, tzinfo=UTC)
#: Mean and standard deviation of what is steady.
LEVELS: Final = {
    "so2": (20.0, 1.0),
    "nox": (30.0, 1.5),
    "pm": (5.0, 0.25),
    "o2": (16.0, 0.1),
    "moisture": (8.0, 0.4),
    "temperature": (120.0, 3.0),
    "velocity": (12.0, 0.6),
}
COPIED: Final = ("hour_mean", "hour_verdict", "hour_feature", "month_verdict", "life", "stack_latest")
PACKS: Final = ("cn-steel-ule-2019", "cn-gb28662-special")


def site_code(number: int) -> str:
    return f"works-{number // STACKS_A_SITE}"


def stack_code(number: int) -> str:
    return f"S{number:05}"


def register(stacks: int, *, simulated: bool) -> dict[str, Any]:
    """Sinter heads under two packs with three pollutants, 25 a site."""
    sites = "".join(
        f"""
[[site]]
code = "{site_code(first)}"
name = "Works"
region = "r"
timezone = "Asia/Shanghai"
simulated = {str(simulated).lower()}
"""
        + "".join(_stack(number) for number in range(first, min(first + STACKS_A_SITE, stacks)))
        for first in range(0, stacks, STACKS_A_SITE)
    )
    return tomllib.loads('[[region]]\ncode = "r"\nname = "Region"\n' + sites, parse_float=Decimal)


def _stack(number: int) -> str:
    packs = ", ".join(f'"{pack}"' for pack in PACKS)
    return f"""
  [[site.stack]]
  code = "{stack_code(number)}"
  name = "Sinter machine {number}"
  process = "sinter_head"
  packs = [{packs}]
  interval_s = {INTERVAL_S}
    [site.stack.channels.so2]
    range = [0, 200]
    [site.stack.channels.nox]
    range = [0, 300]
    [site.stack.channels.pm]
    range = [0, 50]
    [site.stack.channels.o2]
    range = [0, 25]
"""


def frame(stacks: range, at: datetime, *, seconds: int, interval_s: int = INTERVAL_S, seed: int = 0) -> bytes:
    """The rows of *stacks* in the *seconds* from *at*, steady below the limits with the noise of an analyser."""
    rng = random.Random(f"{seed} {stacks.start} {at}")
    first = int(at.timestamp() * 1000)
    instants = range(first, first + seconds * 1000, interval_s * 1000)
    n = len(instants) * len(stacks)
    return wire.encode(
        {
            "schema": 1,
            "sent_at": instants[-1],
            "stack": [stack_code(number) for _ in instants for number in stacks],
            "sampled_at": [instant for instant in instants for _ in stacks],
            "interval_s": interval_s,
            "flag": "N",
            "state": "running",
            **{name: [round(rng.gauss(*level), 2) for _ in range(n)] for name, level in LEVELS.items()},
        }
    )


def messages(stacks: int, at: datetime, *, seconds: int, received_at: datetime) -> Iterator[Incoming]:
    """One message a site with the rows of its stacks."""
    for first in range(0, stacks, STACKS_A_SITE):
        own = range(first, min(first + STACKS_A_SITE, stacks))
        payload = frame(own, at, seconds=seconds)
        yield Incoming(topics.data(ROOT, site_code(first), "e1"), payload, received_at)


async def prepare(
    pool: Pool, stage: Stage, intake: Intake, stacks: int, *, days: int = HISTORY_DAYS, simulated: bool = False
) -> None:
    """Register *stacks* and give each the *days* before `START`."""
    async with transaction(pool) as conn:
        await import_register(conn, register(stacks, simulated=simulated), by="bench")
    first_site = range(min(STACKS_A_SITE, stacks))
    for day in range(days, 0, -1):
        at = START - timedelta(days=day)
        payload = frame(first_site, at, seconds=86_400, interval_s=PAST_INTERVAL_S)
        await intake.commit([Incoming(topics.data(ROOT, site_code(0), "e1"), payload, at + timedelta(days=1))])
    await judge_all(pool, stage, START)
    async with transaction(pool) as conn:
        for table in COPIED:
            await _copy_to_all(conn, table)
    async with pool.connection() as conn:
        await conn.set_autocommit(True)
        await conn.execute("VACUUM ANALYZE")
        await conn.set_autocommit(False)


async def judge_all(pool: Pool, stage: Stage, now: datetime) -> None:
    """Commit the clock, ask for what has ended and judge until nothing waits."""
    async with transaction(pool) as conn:
        await clock.put_tick(conn, now, "bench")
        await queue.ask_for_ended(conn, 120)
    while await stage.judge_some():
        pass


async def _copy_to_all(conn: Connection, table: str) -> None:
    """Give the stacks of every other site what those of the first have in *table*."""
    cursor = await conn.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = current_schema()",
        [table],
    )
    others = [name for (name,) in await cursor.fetchall() if name != "stack_id"]
    columns = sql.SQL(", ").join(map(sql.Identifier, others))
    await conn.execute(
        sql.SQL(
            "WITH place AS (SELECT stack_id, substr(code, 2)::integer AS number FROM stack)"
            " INSERT INTO {table} (stack_id, {columns}) SELECT to_.stack_id, {columns}"
            " FROM place to_ JOIN place from_ ON from_.number = to_.number % {site} AND to_.number >= {site}"
            " JOIN {table} t ON t.stack_id = from_.stack_id"
        ).format(table=sql.Identifier(table), columns=columns, site=STACKS_A_SITE)
    )
