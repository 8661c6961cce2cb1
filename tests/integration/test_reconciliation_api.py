"""Reported means beside ours over the API: each difference with the way of computing that gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from api.app import create_app
from builders import WORKS, Pipe, a_frame, a_pipe, minutes, ms, put_register, settings
from store.pool import transaction
from store.principals import create_token

pytestmark = pytest.mark.anyio

EIGHT: Final = "2026-11-10T08:00:00+08:00"
HOURS: Final = 6
MEANS: Final = "/v1/stacks/works/DA001/reconciliation"


def so2(minute: int) -> float:
    """Restless enough for each way of averaging to give another value. [mg/m3]"""
    return 20 + (minute * 7919 % 1009) / 100


def restless() -> list[dict[str, Any]]:
    """Rows from seven o'clock on, the tenth minute of each hour flagged."""
    rows = minutes("2026-11-10T07:00:00+08:00", (HOURS + 2) * 60, o2=16.0)
    return [row | {"so2": so2(i), "flag": "M" if i % 60 == 9 else "N"} for i, row in enumerate(rows)]


def hours_of(values: Sequence[float], *, column: str = "avg", **rest: Any) -> bytes:
    """A frame of reported hour means of so2 from eight o'clock on, as *column*."""
    first = datetime.fromisoformat(EIGHT)
    rows = [
        {
            "stack": "DA001",
            "sampled_at": ms(first + timedelta(hours=i)),
            "interval_s": 3600,
            "channel": "so2",
            column: value,
        }
        for i, value in enumerate(values)
    ]
    return a_frame([row | rest for row in rows], kind="reported_mean", sent_at=ms(first + timedelta(hours=9)))


@asynccontextmanager
async def an_api(database_url: str) -> AsyncIterator[tuple[Pipe, httpx.AsyncClient]]:
    async with a_pipe(database_url, WORKS) as pipe:
        await pipe.publish(a_frame(restless()))
        async with transaction(pipe.pool) as conn:
            token, _ = await create_token(conn, name="keeper", roles=["operator"], sites=["works"])
        app = create_app(settings(database_url))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://test",
                headers={"Authorization": f"Bearer {token}"},
            ) as http,
        ):
            yield pipe, http


def mean_of_hour(i: int, *, shift: int = 0, flagged: bool = False) -> float:
    """Of the hour *i* after eight, *shift* minutes later."""
    places = range((i + 1) * 60 + shift, (i + 2) * 60 + shift)
    values = [so2(place) for place in places if flagged or place % 60 != 9]
    return sum(values) / len(values)


async def test_a_logger_that_counts_flagged_rows_is_told_so(database_url: str) -> None:
    async with an_api(database_url) as (pipe, http):
        await pipe.publish(hours_of([round(mean_of_hour(i, flagged=True), 4) for i in range(HOURS)]))
        answer = (await http.get(MEANS)).json()
        assert len(answer["items"]) == HOURS
        newest = answer["items"][0]
        assert (newest["start"], newest["channel"], newest["value"], newest["unit"]) == (
            "2026-11-10T05:00:00Z",
            "so2",
            "measured",
            "mg/m3",
        )
        assert newest["ours"] == pytest.approx(mean_of_hour(HOURS - 1))
        assert newest["valid_minutes"] == 59
        assert newest["platform"] is None
        said = newest["reported"]
        assert (said["explained"], said["causes"], said["digits"]) == (True, ["flag"], 4)
        assert {"causes": ["flag"], "deviations": {"flags": "all"}, "periods": HOURS} in said["ways"]


async def test_what_a_platform_holds_stands_beside_what_the_logger_said(database_url: str) -> None:
    async with an_api(database_url) as (pipe, http):
        await pipe.publish(hours_of([round(mean_of_hour(i), 2) for i in range(HOURS)]))
        await pipe.publish(hours_of([77.7] * HOURS, source="platform"))
        line = (await http.get(MEANS, params={"limit": 1})).json()["items"][0]
        assert line["reported"]["causes"] == ["rounding"]
        assert line["platform"]["value"] == 77.7
        assert (line["platform"]["explained"], line["platform"]["causes"], line["platform"]["ways"]) == (False, [], [])
        listed = (await http.get("/v1/stacks/works/DA001/reported", params={"source": "platform"})).json()["items"]
        assert [row["avg"] for row in listed] == [77.7] * HOURS


async def test_a_shifted_clock_is_found_in_a_run_of_corrected_means(database_url: str) -> None:
    async with an_api(database_url) as (pipe, http):
        # At 16 % oxygen, the base of a sinter head, the corrected value is the measured one.
        values = [round(mean_of_hour(i, shift=-20), 4) for i in range(HOURS)]
        await pipe.publish(hours_of(values, column="corrected_avg"))
        items = (await http.get(MEANS)).json()["items"]
        assert {(line["value"], *line["reported"]["causes"]) for line in items} == {("corrected", "clock")}
        assert items[0]["reported"]["ways"][0]["deviations"] == {"shift_s": -1200}


async def test_pages_are_of_periods_and_meet_without_a_gap(database_url: str) -> None:
    async with an_api(database_url) as (pipe, http):
        await pipe.publish(hours_of([round(mean_of_hour(i), 2) for i in range(HOURS)]))
        starts, cursor = [], None
        for _ in range(HOURS):
            parameters = {"limit": 4} | ({"cursor": cursor} if cursor else {})
            answer = (await http.get(MEANS, params=parameters)).json()
            starts += [line["start"] for line in answer["items"]]
            cursor = answer["next"]
            if cursor is None:
                break
        assert starts == [f"2026-11-10T0{5 - i}:00:00Z" for i in range(HOURS)]
        rows, cursor = 0, None
        for _ in range(HOURS):
            parameters = {"limit": 4} | ({"cursor": cursor} if cursor else {})
            answer = (await http.get("/v1/stacks/works/DA001/reported", params=parameters)).json()
            rows, cursor = rows + len(answer["items"]), answer["next"]
            if cursor is None:
                break
        assert rows == HOURS


async def test_nobody_reads_the_reports_of_a_plant_without_a_token_and_no_other_plant_does(database_url: str) -> None:
    async with an_api(database_url) as (pipe, http):
        await put_register(pipe.pool, WORKS.replace('code = "works"', 'code = "elsewhere"'))
        async with transaction(pipe.pool) as conn:
            other, _ = await create_token(conn, name="other", roles=["operator"], sites=["elsewhere"])
        for path in (MEANS, "/v1/stacks/works/DA001/reported"):
            assert (await http.get(path, headers={"Authorization": ""})).status_code == 401
            assert (await http.get(path, headers={"Authorization": f"Bearer {other}"})).status_code == 404


@pytest.mark.parametrize("wrong", [{"period": 90}, {"period": 86_460}, {"limit": 0}, {"cursor": "x"}, {"from": "now"}])
async def test_what_cannot_be_asked_is_refused_by_name(database_url: str, wrong: dict[str, Any]) -> None:
    async with an_api(database_url) as (_, http):
        assert (await http.get(MEANS, params=wrong)).status_code == 422
