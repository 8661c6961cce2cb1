"""Alerts that become quiet and are heard again as rows come in: through the rule stage, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.leading import CHORES
from builders import Pipe, a_frame, a_pipe, minutes
from store.pool import transaction

pytestmark = pytest.mark.anyio

FIRST = datetime(2026, 11, 10, 2, tzinfo=UTC)
H = timedelta(hours=1)


async def an_hour(pipe: Pipe, number: int, **values: Any) -> None:
    """One hour of rows, and the tick that ends it."""
    rows = {"so2": 20.0, "nox": 20.0, "pm": 3.0, "o2": 16.0, "flow": 900_000.0, **values}
    await pipe.publish(a_frame(minutes((FIRST + number * H).isoformat(), 60, **rows)))
    await pipe.tick(FIRST + (number + 1) * H + timedelta(seconds=130))


async def told(pipe: Pipe, rule: str = "hour_above_limit") -> list[str]:
    events = "SELECT e.event FROM alert_event e JOIN alert a USING (alert_id) WHERE a.rule = %s ORDER BY e.event_id"
    return [event for (event,) in await pipe.rows(events, rule)]


async def marked(pipe: Pipe, rule: str = "hour_above_limit") -> list[Any]:
    return [reasons for (reasons,) in await pipe.rows("SELECT suppressed_by FROM alert WHERE rule = %s", rule)]


async def test_an_exceedance_is_quiet_while_its_source_stands_still_and_heard_when_it_runs_on(
    database_url: str,
) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe, 0, so2=50.0)
        assert (await told(pipe), await marked(pipe)) == (["opened"], [None])
        await pipe.rows("UPDATE alert SET opened_at = opened_at - interval '15 minutes' RETURNING 1")
        await an_hour(pipe, 1, so2=0.1, flow=1000.0, state="stopped")
        assert (await told(pipe), await marked(pipe)) == (["opened", "suppressed"], [[{"reason": "source_stopped"}]])
        await an_hour(pipe, 2, so2=50.0)
        assert sorted(await told(pipe)) == ["opened", "opened", "suppressed", "unsuppressed"]
        assert await marked(pipe) == [None, None]
        await an_hour(pipe, 3)
        assert await pipe.rows("SELECT DISTINCT state FROM alert WHERE rule = 'hour_above_limit'") == [("resolved",)]


async def test_missing_data_fires_again_and_again_as_one_alert_and_ends_when_rows_come(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe, 0)
        await pipe.publish(a_frame(minutes((FIRST + H).isoformat(), 10, so2=20.0, o2=16.0)))
        await pipe.tick(FIRST + 2 * H + timedelta(seconds=130))
        assert await told(pipe, "data_missing") == ["opened"]
        await an_hour(pipe, 5)
        await an_hour(pipe, 6)
        (row,) = await pipe.rows(
            "SELECT state, period_start, period_end, ended_at FROM alert WHERE rule = 'data_missing'"
        )
        assert row[:2] == ("resolved", FIRST + H)
        assert row[3] >= row[2] - H
        assert "resolved" in await told(pipe, "data_missing")


async def test_the_leader_lets_silences_begin_at_its_tick(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe, 0, so2=50.0)
        async with transaction(pipe.pool) as conn:
            await conn.execute(
                """INSERT INTO silence (site_id, audience, owner, reason, start_at, end_at, created_by)
                SELECT site_id, 'everyone', 'shift 2', 'a drill', %s, %s, 'a watch' FROM site""",
                [FIRST, FIRST + 9 * H],
            )
            await CHORES["silences"](conn, FIRST + 2 * H)
        assert [reasons[0]["reason"] for reasons in await marked(pipe)] == ["silence"]
        await an_hour(pipe, 1, so2=60.0)
        assert await told(pipe) == ["opened", "suppressed", "opened"], "what opens quiet says so in its opening"
        assert [reasons[0]["reason"] for reasons in await marked(pipe)] == ["silence", "silence"]
