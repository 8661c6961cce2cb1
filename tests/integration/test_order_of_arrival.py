"""One trace of days in many orders, with duplicates, late blocks and a stage that dies: one and the same answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest

from alerts.backtest.difference import difference
from alerts.backtest.results import JudgedAlert, Result
from alerts.backtest.running import Asked, judge_history
from alerts.backtest.stored import open_stored
from alerts.lives import plain
from alerts.stage import Stage
from builders import WORKS, Pipe, a_frame, a_pipe
from plant.periods import micros
from store import queue
from store.pool import open_pool, transaction

pytestmark = pytest.mark.anyio
DAYS: Final = 5
START: Final = datetime(2026, 11, 2, 16, tzinfo=UTC)  # midnight in Shanghai
END: Final = START + timedelta(days=DAYS)
FINAL_TICK: Final = END + timedelta(minutes=3)
REGISTER: Final = (
    WORKS.replace('"cn-steel-ule-2019"', '"cn-steel-ule-2019", "cn-gb28662-special"')
    .replace("interval_s = 60", "interval_s = 120\n  settle_s = 1200\n  permit_t_per_year = { so2 = 1.5 }")
    .replace('["main", "backup"]', '["main"]')
    + """
    [site.stack.channels.nox]
    range = [0, 300]
    [site.stack.channels.o2]
    range = [0, 25]
  [[site.stack]]
  code = "DA002"
  name = "Sinter head, second line"
  process = "sinter_head"
  units = ["S1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 120
    [site.stack.channels.so2]
    range = [0, 200]
"""
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    edge: str
    payload: bytes
    newest: datetime  #: of its rows


@dataclass(frozen=True, slots=True)
class Mark:
    stack: str
    kind: str
    start: datetime
    end: datetime
    status: str


Step = Frame | Mark
Way = Callable[[list[Row], random.Random], Sequence[Step]]

MARKS: Final = (
    Mark("DA001", "calibration", START + timedelta(hours=30), START + timedelta(hours=32), "accepted"),
    Mark("DA001", "stopped", START + timedelta(hours=80), START + timedelta(hours=92), "pending"),
    Mark("DA002", "maintenance", START + timedelta(hours=60), START + timedelta(hours=61), "rejected"),
)


def a_trace(rng: random.Random) -> list[Row]:
    """Two sinter heads: hours above, a gap, a stop, flags; values that stand still, are negative, are copied.

    The last row of an hour reaches into the next, and so does the gas of some calibrations.
    """
    rows: list[Row] = []
    for n in range(DAYS * 720):
        at, hour = START + timedelta(minutes=2 * n, seconds=17), n // 30
        main: Row = {"stack": "DA001", "sampled_at": at.isoformat(), "flow": rng.gauss(5e5, 8e3)}
        level = 45.0 if hour % 17 == 3 or 100 <= hour < 106 else 24.0
        main |= {"so2": rng.gauss(level, 1.5), "nox": rng.gauss(38, 2), "pm": rng.gauss(5, 0.4)}
        main |= {"o2": rng.gauss(16.2, 0.2), "temperature": rng.gauss(125, 1)}
        if 92 <= hour < 104:
            main["nox"] = 37.123
        if 66 <= hour < 70:
            main["so2"] = -12.0
        if n % 720 < 10 or (hour % 9 == 4 and n % 30 >= 26):
            main["flags"] = {"so2": "C"}
        if 84 <= hour < 90:
            main["state"] = "stopped"
        second = dict(main) if 20 <= hour < 28 else main | {"so2": rng.gauss(22, 1.5), "nox": rng.gauss(36, 2)}
        second["stack"] = "DA002"
        rows += [row for row, silent in ((main, 55 <= hour < 60), (second, hour % 31 == 7)) if not silent]
    return rows


def in_frames(rows: Sequence[Row], *, edge: str = "e1", size: int = 120) -> list[Frame]:
    frames = []
    for seq, first in enumerate(range(0, len(rows), size), start=1):
        part = rows[first : first + size]
        newest = max(datetime.fromisoformat(row["sampled_at"]) for row in part)
        frames.append(Frame(edge, a_frame(part, session="s", seq=seq), newest))
    return frames


def twice_with_other_values(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Some rows again, of the same revision: conflicts."""
    return [row | {"so2": 21.5} for row in random.Random(7).sample(list(rows), 12) if "so2" in row]


def in_order(rows: list[Row], rng: random.Random) -> Sequence[Step]:
    return [*in_frames(rows), *in_frames(twice_with_other_values(rows, rng), edge="e3"), *MARKS]


def in_any_order(rows: list[Row], rng: random.Random) -> Sequence[Step]:
    steps: list[Step] = [*in_frames(rng.sample(rows, len(rows))), *MARKS]
    steps += in_frames(twice_with_other_values(rows, rng), edge="e3", size=3)
    rng.shuffle(steps)
    return steps


def doubled_with_late_blocks(rows: list[Row], rng: random.Random) -> Sequence[Step]:
    """Two edges send all of it; a day of both comes last, the newest block of it first."""
    steps: list[Step] = [*MARKS, *in_frames(rows), *in_frames(rows, edge="e2", size=43)]
    steps += in_frames(twice_with_other_values(rows, rng), edge="e3")
    late = [s for s in steps if isinstance(s, Frame) and 24 <= (s.newest - START) / timedelta(hours=1) < 52]
    return [*(step for step in steps if step not in late), *reversed(late)]


@pytest.mark.parametrize("way", [in_any_order, doubled_with_late_blocks])
async def test_rows_in_any_order_and_a_stage_that_dies_give_the_same_alerts(
    postgres_url_factory: Callable[[], str], way: Way
) -> None:
    rows = a_trace(random.Random(11))
    expected = await answers(postgres_url_factory(), in_order(rows, random.Random(1)), random.Random(1), dies=False)
    database_url = postgres_url_factory()
    found = await answers(database_url, way(rows, random.Random(2)), random.Random(2), dies=True)
    rules = {rule for _, rule, *_ in expected["alerts"]}
    assert {"hour_above_limit", "budget", "constant", "negative", "sibling_identity", "data_missing"} <= rules
    assert {"conflicts", "permit_tonnage"} <= rules
    assert len(expected["states"]) >= 2 * (DAYS - 1)
    for name, answer in expected.items():
        assert found[name] == answer, name
    await a_backtest_gives_the_same(database_url)


async def a_backtest_gives_the_same(database_url: str) -> None:
    """Judged at once from the rows as they are stored, from the first hour on: the same hours, months and alerts."""
    asked = Asked(first=micros(START), end=micros(END), now=micros(FINAL_TICK))
    async with open_pool(database_url, name="test") as pool:
        source = await open_stored(pool, database_url, [], asked)
    # It opens connections of its own, each in a loop of its own.
    judged, standing = await asyncio.to_thread(judge_history, source), await asyncio.to_thread(source.standing)
    assert len(standing.alerts) > 50
    assert {key: as_compared(alert) for key, alert in judged.alerts.items()} == {
        key: as_compared(alert) for key, alert in standing.alerts.items()
    }
    assert judged.months == standing.months
    assert judged.hours.keys() == standing.hours.keys()
    for key, hours in standing.hours.items():
        for name in ("start", "verdict", "reason", "corrected"):
            equal_nan = name == "corrected"
            assert np.array_equal(getattr(judged.hours[key], name), getattr(hours, name), equal_nan=equal_nan), key


def as_compared(alert: JudgedAlert) -> tuple[Any, ...]:
    """All of it but who counted: revisions, and the instrument that the writer adds."""
    evidence = {name: value for name, value in plain(alert.evidence).items() if name not in ("revision", "instrument")}
    return (*(getattr(alert, name) for name in JudgedAlert.__slots__ if name != "evidence"), evidence)


ANSWERS: Final = {
    "verdicts": "SELECT stack_id, pack, pollutant, start, verdict, reason, corrected, claimed FROM hour_verdict"
    " WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4",
    "months": "SELECT stack_id, pack, pollutant, month, hours_valid, hours_above, share, budget, verdict"
    " FROM month_verdict WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4",
    "features": "SELECT stack_id, start, layout, features, blocks FROM hour_feature ORDER BY 1, 2",
    # Revisions count how often an hour was judged, and stand in evidence for that.
    "alerts": "SELECT alert_id, rule, state, severity, pollutant, period_end, ended_at, observed, limit_value,"
    " (evidence - 'revision')::text FROM alert WHERE state <> 'withdrawn' ORDER BY 1",
    "states": "SELECT stack_id, day, state FROM life ORDER BY 1, 2",
}


async def answers(
    database_url: str, steps: Sequence[Step], rng: random.Random, *, dies: bool
) -> dict[str, list[tuple[Any, ...]]]:
    """What stands in the end, after a clock that ticked now and then on the way."""
    async with a_pipe(database_url, REGISTER) as pipe:
        clock = START
        for step in steps:
            if isinstance(step, Frame):
                await pipe.publish(step.payload, edge=step.edge, received_at=END + timedelta(hours=1))
                clock = max(clock, step.newest)
            else:
                await file(pipe, step)
            if rng.random() < 0.15:
                await pipe.tick(clock + timedelta(minutes=rng.randrange(8)))
            if dies and rng.random() < 0.3:
                await kill_at_work(pipe, rng)
        await pipe.tick(FINAL_TICK)
        await a_backtest_gives_what_stands(pipe, database_url)
        return {name: await pipe.rows(query) for name, query in ANSWERS.items()}


async def a_backtest_gives_what_stands(pipe: Pipe, database_url: str) -> None:
    """The same rows judged from the beginning, all at once: the same verdicts, months and alerts, by the same ids."""
    asked = Asked(first=micros(START), end=micros(END))
    source = await open_stored(pipe.pool, database_url, (), asked)
    stands = await asyncio.to_thread(source.standing)
    judged = await asyncio.to_thread(judge_history, source)
    assert difference(stands, judged, source.sites).is_none
    assert len(judged.alerts) > 20
    assert as_told(judged) == as_told(stands)


def as_told(result: Result) -> dict[str, JudgedAlert]:
    """Alerts as JSON holds them, without the revisions that only a database counts."""
    told = {}
    for alert_id, alert in result.alerts.items():
        evidence = {name: value for name, value in alert.evidence.items() if name != "revision"}
        told[alert_id] = replace(alert, evidence=json.loads(json.dumps(evidence, default=str)))
    return told


async def kill_at_work(pipe: Pipe, rng: random.Random) -> None:
    """Start judging, end it somewhere in the middle; another stage takes over."""
    task = asyncio.create_task(pipe.stage.judge_some(), name="killed")
    for _ in range(rng.randrange(200)):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=30)
    pipe.stage = Stage(pipe.stage.settings, pipe.pool)


async def file(pipe: Pipe, mark: Mark) -> None:
    """A mark as the API files it, at an instant of the test's."""
    async with transaction(pipe.pool) as conn:
        cursor = await conn.execute("SELECT site_id, stack_id FROM stack WHERE code = %s", [mark.stack])
        site_id, stack_id = await cursor.fetchone() or (0, 0)
        decided = None if mark.status == "pending" else END
        await conn.execute(
            """
            INSERT INTO mark (mark_id, site_id, stack_id, kind, start_at, end_at, reason, filed_by, filed_at, deadline,
                              status, decided_at)
            OVERRIDING SYSTEM VALUE
            VALUES (%s, %s, %s, %s, %s, %s, 'test', 'test', %s, %s, %s, %s)
            """,
            [MARKS.index(mark) + 1, site_id, stack_id, mark.kind, mark.start, mark.end, END, END, mark.status, decided],
        )
        hours = int((mark.end - mark.start) / timedelta(hours=1))
        asked = [(stack_id, mark.start + timedelta(hours=hour)) for hour in range(hours)]
        await queue.ask(conn, asked, reason="mark")
