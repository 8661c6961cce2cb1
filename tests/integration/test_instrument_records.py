"""Records of instruments over the API, and the rules on process and upkeep through the whole pipe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import psycopg
import pytest

from api.app import create_app
from builders import POWER, WORKS, Pipe, a_frame, a_pipe, minutes, put_register
from fakes.api_rows import Rows, rows_in
from plant.settings import Settings
from store.pool import transaction

pytestmark = pytest.mark.anyio

FIRST: Final = datetime(2026, 10, 20, 16, tzinfo=UTC)  # midnight at the works
HOURLY: Final = WORKS.replace("interval_s = 60", "interval_s = 3600")
RECORDS: Final = "/v1/instruments/works/DA001/records"


def at(hours: float) -> datetime:
    return FIRST + timedelta(hours=hours)


def text(hours: float) -> str:
    return at(hours).isoformat()


@dataclass(frozen=True, slots=True)
class Desk:
    """The pipe, and people at the API of the same database."""

    pipe: Pipe
    http: httpx.AsyncClient
    rows: Rows

    async def file(self, who: dict[str, str], *, path: str = RECORDS, key: str | None = None, **body: Any) -> Any:
        record = {"kind": "calibration", "at": text(2), "note": "zero and span"} | body
        headers = who | ({"Idempotency-Key": key} if key else {})
        return await self.http.post(path, headers=headers, json=record)

    async def alerts(self) -> list[tuple[str, str, datetime]]:
        """(rule, state, begin) of all but exceedances."""
        found = await self.pipe.rows(
            "SELECT rule, state, period_start FROM alert WHERE rule NOT LIKE 'hour%%' ORDER BY period_start, rule"
        )
        return [(rule, state, start.astimezone(UTC)) for rule, state, start in found]


@asynccontextmanager
async def a_desk(database_url: str, register: str = WORKS) -> AsyncIterator[Desk]:
    app = create_app(Settings(database_url=database_url))
    async with (
        a_pipe(database_url, register) as pipe,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield Desk(pipe, http, rows)


def hourly(first: int, n: int, **values: Any) -> bytes:
    usual = {"so2": 20.0, "o2": 16.0, "flow": 1e6, "load_pct": 92.0}
    power = {"power_production_kw": 14_500.0, "power_abatement_kw": 5_200.0}
    return a_frame(minutes(text(first), n, step_s=3600, **(usual | power | values)), interval_s=3600)


async def test_a_record_is_filed_by_the_plant_and_read_by_all_who_may(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        await desk.pipe.tick(at(3))
        maintainer, watch = await desk.rows.token("maintainer", sites=["works"]), await desk.rows.token("watch")
        figures = {"zero": {"reference": 0.0, "reading": 0.4}}
        answer = await desk.file(maintainer, channels=["so2"], figures=figures)
        assert answer.status_code == 200, answer.text
        record = answer.json()
        assert {name: record[name] for name in ("site", "stack", "instrument", "channels", "kind", "figures")} == {
            "site": "works",
            "stack": "DA001",
            "instrument": "main",
            "channels": ["so2"],
            "kind": "calibration",
            "figures": figures,
        }
        assert record["at"] == "2026-10-20T18:00:00Z"
        await desk.file(maintainer, kind="comparison", at=text(-1000))
        listed = (await desk.http.get(RECORDS, headers=watch)).json()
        assert [one["kind"] for one in listed["items"]] == ["comparison", "calibration"]
        only = (await desk.http.get(RECORDS + "?kind=calibration&limit=1", headers=watch)).json()
        assert (len(only["items"]), only["next"]) == (1, None)


async def test_who_may_not_is_refused_in_the_right_order(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        await desk.pipe.tick(at(3))
        await put_register(desk.pipe.pool, POWER)
        elsewhere = await desk.rows.token("operator", sites=["power"])
        assert (await desk.file({})).status_code == 401
        assert (await desk.http.get(RECORDS)).status_code == 401
        assert (await desk.file(elsewhere)).status_code == 404
        assert (await desk.file(await desk.rows.token("watch"))).status_code == 403
        operator = await desk.rows.token("operator", sites=["works"])
        assert (await desk.file(operator, path="/v1/instruments/works/nil/records")).status_code == 404
        for wrong in ({"at": text(4)}, {"at": text(-24 * 500)}, {"kind": "repair"}, {"note": ""}, {"more": 1}):
            assert (await desk.file(operator, **wrong)).status_code == 422, wrong
        assert (await desk.file(operator)).status_code == 200


async def test_the_same_record_sent_twice_is_one(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        await desk.pipe.tick(at(3))
        operator = await desk.rows.token("operator", sites=["works"])
        answers = [(await desk.file(operator, key="k1")).json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert await desk.pipe.rows("SELECT count(*) FROM instrument_record") == [(1,)]


async def test_a_record_is_never_rewritten(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        await desk.pipe.tick(at(3))
        await desk.file(await desk.rows.token("operator", sites=["works"]))
        for change in ("UPDATE instrument_record SET note = 'x'", "DELETE FROM instrument_record"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                async with transaction(desk.pipe.pool) as conn:
                    await conn.execute(change.encode())


async def test_a_record_that_is_filed_later_withdraws_a_changed_parameter(database_url: str) -> None:
    async with a_desk(database_url, HOURLY) as desk:
        await put_register(desk.pipe.pool, HOURLY.replace("range = [0, 200]", "range = [0, 200]\n    slope = 0.9"))
        async with transaction(desk.pipe.pool) as conn:
            await conn.execute("UPDATE register_version SET changed_at = %s WHERE version = 2", [at(30.5)])
        await desk.pipe.publish(hourly(0, 40))
        await desk.pipe.tick(at(40.2))
        assert await desk.alerts() == [("parameter_changed", "firing", at(30))]
        operator = await desk.rows.token("operator", sites=["works"])
        answer = await desk.file(operator, kind="parameter", at=text(36), note="new span gas, slope set anew")
        assert answer.status_code == 200, answer.text
        await desk.pipe.judge()
        assert await desk.alerts() == [("parameter_changed", "withdrawn", at(30))]


async def test_abatement_that_is_off_is_an_alert_of_the_pipe_and_ends_when_it_is_on(database_url: str) -> None:
    async with a_desk(database_url, HOURLY) as desk:
        hours = 12 * 24
        await desk.pipe.publish_all([hourly(0, hours), hourly(hours, 3, power_abatement_kw=40.0)])
        await desk.pipe.tick(at(hours + 3.2))
        ((rule, state, start),) = await desk.alerts()
        assert (rule, state, start) == ("production_without_abatement", "firing", at(hours))
        await desk.pipe.publish(hourly(hours + 3, 1))
        await desk.pipe.tick(at(hours + 4.2))
        assert [(rule, state) for rule, state, _ in await desk.alerts()] == [
            ("production_without_abatement", "resolved")
        ]
        ((evidence,),) = await desk.pipe.rows("SELECT evidence FROM alert")
        assert evidence["abatement_kw"] == 40.0
        assert evidence["abatement_kw_usual"] == 5200.0


def signals(first: int, n: int, *, received: float, revision: int = 0, **values: float) -> tuple[bytes, datetime]:
    """Process values of the unit, one each in the middle of *n* hours."""
    rows = [
        {"sampled_at": text(first + hour + 0.5), "unit": "S1", "signal": name, "value": value, "revision": revision}
        for hour in range(n)
        for name, value in values.items()
    ]
    return a_frame(rows, kind="signal"), at(received)


async def test_process_values_may_come_as_signals_of_the_unit_and_be_put_right_later(database_url: str) -> None:
    async with a_desk(database_url, HOURLY) as desk:
        pipe, hours = desk.pipe, 12 * 24
        for payload, received_at in (
            signals(0, hours, received=hours, load_pct=92.0, power_abatement_kw=5_200.0),
            signals(hours, 3, received=hours + 3, load_pct=92.0, power_abatement_kw=40.0),
        ):
            await pipe.publish(payload, received_at=received_at)
        rows = minutes(text(0), hours + 3, step_s=3600, so2=20.0, o2=16.0)
        await pipe.publish(a_frame(rows, interval_s=3600))
        await pipe.tick(at(hours + 3.2))
        assert await desk.alerts() == [("production_without_abatement", "firing", at(hours))]
        payload, received_at = signals(hours, 3, received=hours + 4, revision=1, power_abatement_kw=5_150.0)
        await pipe.publish(payload, received_at=received_at)
        await pipe.judge()
        assert await desk.alerts() == [("production_without_abatement", "withdrawn", at(hours))]


async def test_a_stack_that_falls_silent_is_an_alert_after_its_timer_and_late_rows_withdraw_it(
    database_url: str,
) -> None:
    async with a_desk(database_url) as desk:
        pipe = desk.pipe
        await pipe.publish(a_frame(minutes(text(0), 70, so2=20.0, o2=16.0)))
        await pipe.tick(at(1) + timedelta(minutes=24))
        assert await desk.alerts() == []
        await pipe.tick(at(1) + timedelta(minutes=25))
        assert await desk.alerts() == [("data_missing", "firing", at(1))]
        await pipe.tick(at(2) + timedelta(minutes=30))
        assert await desk.alerts() == [("data_missing", "firing", at(1))]
        await pipe.publish(a_frame(minutes(text(1), 90, so2=20.0, o2=16.0)))
        await pipe.tick(at(2) + timedelta(minutes=31))
        assert await desk.alerts() == [("data_missing", "withdrawn", at(1))]
