"""Alerts of the running hour, live: as early as they are certain, quiet while it runs, over with it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from builders import WORKS, Pipe, a_frame, a_pipe, minutes

pytestmark = pytest.mark.anyio

RANGED: Final = WORKS + "    [site.stack.channels.o2]\n    range = [14, 18]\n"
RULES: Final = ("hour_above_limit", "irrecoverable_hour", "keep_below")


async def alerts(pipe: Pipe) -> list[tuple[str, str, str]]:
    found = await pipe.rows("SELECT rule, state, severity FROM alert WHERE rule = ANY(%s) ORDER BY rule", list(RULES))
    return [(rule, state, severity) for rule, state, severity in found]


async def events(pipe: Pipe, rule: str) -> list[str]:
    return [
        event
        for (event,) in await pipe.rows(
            "SELECT event FROM alert_event JOIN alert USING (alert_id) WHERE rule = %s ORDER BY event_id", rule
        )
    ]


def half_an_hour(so2: float) -> list[dict[str, Any]]:
    return minutes("2026-11-10T08:00:00+08:00", 30, so2=so2, o2=16.0)


def the_rest(so2: float) -> list[dict[str, Any]]:
    return minutes("2026-11-10T08:30:00+08:00", 30, so2=so2, o2=16.0)


async def test_an_hour_that_goes_too_high_is_warned_of_and_may_be_saved(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await pipe.publish(a_frame(half_an_hour(40.0)))
        await pipe.tick("2026-11-10T08:30:00+08:00")
        assert await alerts(pipe) == [("keep_below", "firing", "info")]
        ((evidence,),) = await pipe.rows("SELECT evidence FROM alert WHERE rule = 'keep_below'")
        assert evidence["would_end_at"] == 40.0
        assert evidence["keep_below"] == pytest.approx((60 * 35 - 10 * 40) / 50)
        await pipe.publish(a_frame(the_rest(25.0)))
        await pipe.tick("2026-11-10T09:03:00+08:00")
        assert await alerts(pipe) == [("keep_below", "resolved", "info")]
        assert await events(pipe, "keep_below") == ["opened", "resolved"]
        assert await pipe.rows("SELECT ended_at = period_end FROM alert WHERE rule = 'keep_below'") == [(True,)]


async def test_an_hour_that_is_lost_is_told_while_it_runs_and_breached_when_it_ends(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await pipe.publish(a_frame(half_an_hour(150.0)))
        await pipe.tick("2026-11-10T08:30:00+08:00")
        assert await alerts(pipe) == [
            ("irrecoverable_hour", "firing", "warning"),
            ("keep_below", "firing", "info"),  # said after ten minutes, when it could still be saved
        ]
        ((minute,),) = await pipe.rows("SELECT evidence -> 'minute' FROM alert WHERE rule = 'irrecoverable_hour'")
        assert 10 < minute < 30
        await pipe.publish(a_frame(the_rest(5.0)))
        await pipe.tick("2026-11-10T08:59:00+08:00")
        await pipe.tick("2026-11-10T09:03:00+08:00")
        assert await alerts(pipe) == [
            ("hour_above_limit", "firing", "major"),
            ("irrecoverable_hour", "resolved", "major"),
            ("keep_below", "resolved", "info"),
        ]
        assert await events(pipe, "irrecoverable_hour") == ["opened", "resolved"]


async def test_late_rows_that_unmake_what_was_warned_of_withdraw_it(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        late, came = minutes("2026-11-10T08:00:00+08:00", 20, so2=5.0, o2=16.0), half_an_hour(40.0)[20:]
        await pipe.publish(a_frame(came + minutes("2026-11-10T08:30:00+08:00", 3, so2=40.0, o2=16.0)))
        await pipe.tick("2026-11-10T08:33:00+08:00")
        assert await alerts(pipe) == [("keep_below", "firing", "info")]
        await pipe.publish(a_frame(late))
        await pipe.tick("2026-11-10T08:34:00+08:00")
        assert await alerts(pipe) == [("keep_below", "withdrawn", "info")]
