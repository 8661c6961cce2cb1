"""How many stacks with a row every 10 s one core carries: processor time of the rule stage and its database backends.

    rows of an hour ──▶ database (not measured) ──▶ judge while it runs, judge when it has ended (measured)

Every stack has a month behind it, 3 pollutants and 2 packs. A running hour is counted as looked at LOOKS times, which
is what a person waits for: its state is never older than 60 / LOOKS minutes. What is left of the core is spare: there
the stage looks more often by itself.

"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.stage import Stage
from benchmarks import servers, stacks
from benchmarks.report import arguments, publish
from benchmarks.shape import ROOT
from benchmarks.stacks import START, Pool
from benchmarks.usage import cpu_s
from ingestor.intake import Intake
from plant.settings import Settings
from store.migrate import migrate
from store.pool import open_pool, transaction

GOAL: Final = 25_000
LOOKS: Final = 6  #: at a running hour
MINUTES: Final = (7, 19, 31, 43, 52)  #: at which a running hour is measured
COMMITTED_AT_ONCE: Final = 40


@dataclass(slots=True)
class Cost:
    """Processor time spent on judging some stacks."""

    stacks: int = 0
    stage_s: float = 0.0
    database_s: float = 0.0

    @property
    def ms(self) -> float:
        """Of the stage and its backends for one stack."""
        return 1000 * (self.stage_s + self.database_s) / max(1, self.stacks)

    @contextmanager
    def measured(self, database: servers.Server, stage: Stage) -> Iterator[None]:
        judged, own, theirs = stage.work.stacks_judged, time.process_time(), cpu_s(database.pid)
        yield
        self.stacks += stage.work.stacks_judged - judged
        self.stage_s += time.process_time() - own
        self.database_s += cpu_s(database.pid) - theirs


@dataclass(slots=True)
class Costs:
    running: Cost = field(default_factory=Cost)
    final: Cost = field(default_factory=Cost)

    def figures(self) -> Mapping[str, Any]:
        hour_ms = self.final.ms + LOOKS * self.running.ms
        return {
            "stacks_at_10s": int(3_600_000 / hour_ms),
            "goal": GOAL,
            "final_hour_ms": round(self.final.ms, 2),
            "final_hour_database_ms": round(1000 * self.final.database_s / max(1, self.final.stacks), 2),
            "running_hour_ms": round(self.running.ms, 2),
            "running_hour_database_ms": round(1000 * self.running.database_s / max(1, self.running.stacks), 2),
            "looks_at_a_running_hour": LOOKS,
            "core_for_goal": round(GOAL * hour_ms / 3_600_000, 3),
        }


async def write_rows(intake: Intake, n_stacks: int, at: datetime, minutes: int) -> None:
    waiting = list(stacks.messages(n_stacks, at, seconds=minutes * 60, received_at=at + timedelta(minutes=minutes)))
    for first in range(0, len(waiting), COMMITTED_AT_ONCE):
        await intake.commit(waiting[first : first + COMMITTED_AT_ONCE])


async def one_hour(
    pool: Pool, stage: Stage, intake: Intake, database: servers.Server, n_stacks: int, at: datetime, costs: Costs
) -> None:
    """Send the hour that begins *at* to every stack in parts, and judge after each."""
    sent = 0
    for minute in (*MINUTES, 60):
        await write_rows(intake, n_stacks, at + timedelta(minutes=sent), minute - sent)
        sent = minute
        if minute < 60:
            with costs.running.measured(database, stage):
                await stacks.judge_all(pool, stage, at + timedelta(minutes=minute))
    with costs.final.measured(database, stage):
        await stacks.judge_all(pool, stage, at + timedelta(minutes=63))


async def measure(database: servers.Server, url: str, n_stacks: int, hours: int, days: int) -> Mapping[str, Any]:
    await migrate(url)
    costs = Costs()
    async with open_pool(url, name="bench", size=6) as pool:
        stage = Stage(Settings(database_url=url, mqtt_url="mqtt://127.0.0.1:1"), pool)
        intake = Intake(pool, ROOT, "bench")
        await stacks.prepare(pool, stage, intake, n_stacks, days=days)
        await one_hour(pool, stage, intake, database, n_stacks, START, Costs())  # everything is read and planned once
        for hour in range(1, hours + 1):
            await one_hour(pool, stage, intake, database, n_stacks, START + timedelta(hours=hour), costs)
        alerts = await count_alerts(pool)
    return {"stacks": n_stacks, "hours": hours, "days_before": days, "alerts": alerts, **costs.figures()}


async def count_alerts(pool: Pool) -> dict[str, int]:
    """By rule. Of clean stacks there should be none or next to none: each costs more than an hour."""
    async with transaction(pool) as conn:
        return dict(await (await conn.execute("SELECT rule, count(*) FROM alert GROUP BY 1 ORDER BY 1")).fetchall())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--stacks", type=int, default=200, help="stacks that are measured")
    parser.add_argument("--hours", type=int, default=2, help="hours of each")
    parser.add_argument("--days", type=int, default=stacks.HISTORY_DAYS, help="that each has behind it")
    parser.add_argument("--database", default=servers.default_database(), help="timescaledb, postgresql or an address")
    given = parser.parse_args()
    with servers.database_server(given.database, servers.DURABLE) as server, servers.a_database(server.url) as url:
        figures = asyncio.run(measure(server, url, given.stacks, given.hours, given.days))
    publish({"database": given.database, **figures}, as_json=given.json)


if __name__ == "__main__":
    main()
