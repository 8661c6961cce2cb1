"""What is missing, over HTTP: rows by channel and hour, the metrics of the books, and an alert about an edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from alerts.rules.lost import GRACE
from api.app import create_app
from builders import WORKS, Pipe, a_frame, a_pipe, minutes, settings
from fakes.api_rows import Rows, rows_in
from plant.periods import instant, micros
from store import tallying
from store.pool import transaction

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

EIGHT: Final = "2026-11-10T08:00:00+08:00"
AT_EIGHT: Final = datetime(2026, 11, 10, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
TWO_SITES: Final = WORKS + WORKS[WORKS.index("[[site]]") :].replace('"works"', '"mill"')


@dataclass
class Running:
    pipe: Pipe
    rows: Rows
    http: httpx.AsyncClient

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return await self.http.get(path, headers=headers, params=query)

    async def items(self, path: str, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
        answer = await self.get(path, headers, **query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def fold(self, now: datetime) -> None:
        async with transaction(self.pipe.pool) as conn:
            await tallying.fold(conn, now=now)


@asynccontextmanager
async def running(database_url: str, register: str = TWO_SITES) -> AsyncIterator[Running]:
    app = create_app(settings(database_url))
    async with (
        a_pipe(database_url, register) as pipe,
        rows_in(database_url) as rows,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        yield Running(pipe, rows, http)


def counts(lines: list[dict[str, Any]]) -> list[tuple[str, str, int, int, int, int]]:
    return [
        (line["hour"][11:13], line["channel"], line["expected"], line["present"], line["missing"], line["flagged"])
        for line in lines
    ]


async def test_expected_and_missing_rows_stand_by_channel_and_hour(database_url: str) -> None:
    async with running(database_url) as api:
        sent = minutes(EIGHT, 50, so2=1.0) + minutes("2026-11-10T08:50:00+08:00", 5, so2=1.0, flag="C")
        await api.pipe.publish(a_frame(sent + minutes("2026-11-10T09:00:00+08:00", 10, so2=None, nox=1.0)))
        await api.pipe.tick("2026-11-10T09:20:30+08:00")
        auditor = await api.rows.token("auditor")
        lines = await api.items("/v1/books/channels", auditor, site="works")
        assert counts(lines) == [("01", "so2", 20, 0, 20, 0), ("00", "so2", 60, 55, 5, 5)]
        assert lines[1]["missing_s"] == 300
        assert (lines[0]["site"], lines[0]["stack"], lines[0]["interval_s"]) == ("works", "DA001", 60)
        start, end = {"from": "2026-11-10T09:00:00+08:00"}, {"to": "2026-11-10T09:00:00+08:00"}
        assert counts(await api.items("/v1/books/channels", auditor, site="works", **start)) == counts(lines[:1])
        assert counts(await api.items("/v1/books/channels", auditor, site="works", **end)) == counts(lines[1:])


async def test_pages_of_channels_are_the_whole_and_hours_without_a_row_are_there(database_url: str) -> None:
    register = TWO_SITES.replace("    [site.stack.channels.so2]\n    range = [0, 200]\n", "")
    async with running(database_url, register) as api:
        await api.pipe.publish(a_frame(minutes(EIGHT, 60, so2=1.0, o2=16.0)))
        await api.pipe.tick("2026-11-10T11:00:00+08:00")
        auditor = await api.rows.token("auditor")
        whole = await api.items("/v1/books/channels", auditor, site="works", stack="DA001")
        assert [(line["hour"][11:13], line["channel"]) for line in whole] == [
            (hour, channel) for hour in ("02", "01", "00") for channel in ("so2", "pm", "o2", "nox")
        ]
        assert {line["channel"]: line["missing"] for line in whole[8:]} == {"so2": 0, "o2": 0, "pm": 60, "nox": 60}
        assert {line["missing"] for line in whole[:8]} == {60}
        paged: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = (await api.get("/v1/books/channels", auditor, site="works", limit=5, **cursor)).json()
            paged += answer["items"]
            if answer["next"] is None:
                break
            cursor = {"cursor": answer["next"]}
        assert paged == whole


async def test_what_is_missing_is_told_to_who_may_know(database_url: str) -> None:
    async with running(database_url) as api:
        await api.pipe.tick("2026-11-10T09:20:30+08:00")
        own = await api.rows.token("operator", sites=["works"])
        assert (await api.get("/v1/books/channels", site="works")).status_code == 401
        assert (await api.get("/v1/books/channels", own, site="mill")).status_code == 404
        assert (await api.get("/v1/books/channels", own, site="works", stack="none")).status_code == 404
        assert (await api.get("/v1/books/channels", own)).status_code == 422
        assert (await api.get("/v1/books/channels", own, site="works", cursor="x")).status_code == 422
        assert (await api.get("/v1/books/channels", own, site="works")).status_code == 200
        assert (await api.get("/v1/books", own, site="mill")).json() == {"items": [], "next": None}


async def test_metrics_of_the_books_name_the_sites_of_the_scope_to_who_is_signed_in(database_url: str) -> None:
    async with running(database_url) as api:
        for site in ("works", "mill"):
            await api.rows.frame(1, AT_EIGHT, site=site, rows=40, deliveries=2)
            await api.rows.frame(3, AT_EIGHT, site=site, rows_before=60, low=4)
        await api.rows.conn.execute(
            """INSERT INTO edge_state (site_id, edge, online, document, received_at)
            SELECT site_id, 'gate-1', true, %s, now() FROM site WHERE code = 'works'""",
            [f'{{"online": true, "outbox": 7, "oldest": {micros(AT_EIGHT + HOUR) // 1000}}}'],
        )
        await api.pipe.publish(a_frame(minutes(EIGHT, 45, so2=1.0)), edge="e2")
        await api.pipe.tick(AT_EIGHT + 2 * HOUR)
        await api.pipe.keep_books()
        assert await api.pipe.note_missing() == 2
        assert await api.pipe.note_missing() == 0
        assert "works" not in (await api.get("/metrics")).text
        own = await api.rows.token("operator", sites=["works"])
        text = (await api.get("/metrics", own)).text
        lines = text.splitlines()
        assert 'stackwatch_edge_rows{site="works",edge="gate-1",fate="stored"} 50' in lines
        assert 'stackwatch_edge_rows{site="works",edge="gate-1",fate="unexplained"} 20' in lines
        assert 'stackwatch_edge_rows_published{site="works",edge="gate-1"} 70' in lines
        assert 'stackwatch_edge_rows_redelivered{site="works",edge="gate-1"} 40' in lines
        assert 'stackwatch_edge_outbox_frames{site="works",edge="gate-1"} 7' in lines
        assert 'stackwatch_edge_outbox_age_seconds{site="works",edge="gate-1"} 3600.0' in lines
        assert "mill" not in text
        everything = (await api.get("/metrics", await api.rows.token("auditor"))).text
        assert 'stackwatch_edge_rows{site="mill",edge="gate-1",fate="in_flight"} 0' in everything.splitlines()
        assert (await api.get("/metrics", own)).text == text


async def test_missing_rows_of_the_last_ended_hour_are_counted_by_what_rows_stand_for(database_url: str) -> None:
    async with running(database_url, WORKS) as api:
        await api.pipe.publish(a_frame(minutes(EIGHT, 120, step_s=10, interval_s=10, so2=1.0)))
        await api.pipe.tick(AT_EIGHT + HOUR + timedelta(seconds=119))
        await api.pipe.note_missing()
        query = "SELECT expected, missing FROM site_missing"
        await api.pipe.tick(AT_EIGHT + HOUR + timedelta(seconds=120))
        await api.pipe.note_missing()
        assert await api.pipe.rows(query) == [(60, 40)]


async def test_an_alert_about_an_edge_is_read_taken_up_and_exported_like_any_other(database_url: str) -> None:
    async with running(database_url) as api:
        await api.rows.frame(1, AT_EIGHT)
        await api.rows.frame(3, AT_EIGHT, rows_before=20, low=4)
        for at in (AT_EIGHT + HOUR, instant(micros(AT_EIGHT + HOUR) + GRACE)):
            await api.pipe.tick(at)
            await api.pipe.keep_books()
        await api.pipe.judge()
        operator = await api.rows.token("operator", sites=["works"])
        (alert,) = await api.items("/v1/alerts", operator)
        assert (alert["rule"], alert["site"], alert["stack"], alert["observed"]) == (
            "rows_unexplained",
            "works",
            None,
            10,
        )
        assert (await api.get("/v1/alerts")).status_code == 401
        agency = await api.rows.token("investigator", regions=["hebei"])
        export = (await api.get(f"/v1/alerts/{alert['id']}/export", agency)).json()
        assert [frame["seq"] for frame in export["evidence"]] == [1, 3]
        seen = await api.http.post(f"/v1/alerts/{alert['id']}/acknowledge", headers=agency, json={"note": "asked"})
        assert seen.json()["state"] == "acknowledged"
        case = await api.http.post("/v1/cases", headers=agency, json={"alert": alert["id"]})
        assert (case.status_code, case.json()["track"]) == (200, "evasion"), case.text
