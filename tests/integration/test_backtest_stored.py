"""History of the database judged again: nothing differs from what stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from alerts.backtest.difference import difference
from alerts.backtest.running import Asked, judge_history
from alerts.backtest.stored import open_stored
from builders import POWER, a_frame, a_pipe, minutes
from plant.periods import HOUR, micros

pytestmark = pytest.mark.anyio

START: Final = datetime(2026, 8, 1, 16, tzinfo=UTC)  # midnight in Shanghai
DAY: Final = timedelta(days=1)


async def test_an_alert_that_went_on_long_behind_what_is_asked_for_is_no_difference(database_url: str) -> None:
    """A value below zero for weeks is one alert until today, however short the time that is asked for."""
    ranged = POWER + "    range = [0, 100]\n"
    async with a_pipe(database_url, ranged) as pipe:
        rows = minutes(START.isoformat(), 50 * 24, stack="GT", step_s=3600, nox=-30.0, o2=15.0)
        await pipe.publish(a_frame(rows), site="power")
        await pipe.tick(START + 50 * DAY)
        asked = Asked(first=micros(START), end=micros(START + DAY))
        source = await open_stored(pipe.pool, database_url, (), asked, as_it_stands=True)
        stands = await asyncio.to_thread(source.standing)
        again = await asyncio.to_thread(judge_history, source)
        (negative,) = [alert for alert in stands.alerts.values() if alert.rule == "negative"]
        assert negative.period_end > micros(START + 49 * DAY)
        assert difference(stands, again, dict(source.sites)).is_none

        short = await open_stored(pipe.pool, database_url, (), asked)
        (site,) = short.sites.values()
        spans = short.span(site), source.span(site)
        assert spans[0] is not None
        assert spans[1] is not None
        assert spans[0].end < spans[1].end


async def test_as_of_an_instant_the_database_shows_what_had_come_by_then(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(START.isoformat(), 300, so2=60.0, o2=16.0)))
        await pipe.tick(START + DAY)
        then = micros(START) + 2 * HOUR + HOUR // 2
        asked = Asked(first=micros(START), end=micros(START + DAY), now=then)
        source = await open_stored(pipe.pool, database_url, (), asked)
        found = await asyncio.to_thread(judge_history, source)
        before = replace(source, asked=replace(asked, now=micros(START) - HOUR))
    assert found.rows == 150
    starts = {alert.period_start for alert in found.alerts.values() if alert.rule == "hour_above_limit"}
    assert starts == {micros(START), micros(START) + HOUR}
    assert judge_history(before).alerts == {}
