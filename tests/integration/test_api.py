"""The API's answers, over a real database: scopes, roles, lists, what the public sees, and what acts leave behind."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.routes import pages
from fakes.api_rows import PACK, T0, Rows, rows_in
from plant.settings import Settings

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Api:
    http: httpx.AsyncClient
    rows: Rows

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return await self.http.get(path, headers=headers, params=query)

    async def items(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> list[Any]:
        answer = await self.get(path, headers, **query)
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["items"]
        return found


@asynccontextmanager
async def an_api(database_url: str) -> AsyncIterator[Api]:
    app = create_app(Settings(database_url=database_url))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield Api(http, rows)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with an_api(database_url) as running:
        yield running


def is_problem(answer: httpx.Response, status: int) -> bool:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return set(body) >= {"type", "title", "status", "detail"} and body["status"] == status


async def test_a_request_without_a_token_is_asked_for_one_and_a_wrong_token_is_refused_even_where_none_is_needed(
    api: Api,
) -> None:
    await api.rows.site()
    assert is_problem(await api.get("/v1/alerts"), 401)
    assert (await api.get("/v1/alerts")).headers["www-authenticate"] == "Bearer"
    assert is_problem(await api.get("/v1/sites", {"Authorization": "Bearer swk_wrong"}), 401)
    assert is_problem(await api.get("/v1/sites", {"Authorization": "Basic YTpi"}), 401)
    assert (await api.get("/v1/sites")).status_code == 200
    for path in ("/v1/rules", "/v1/packs", "/v1/keys"):
        assert (await api.get(path)).status_code == 200
        assert is_problem(await api.get(path, {"Authorization": "Bearer sw_nothing"}), 401), path


async def test_an_expired_and_a_revoked_token_are_worth_nothing(api: Api) -> None:
    expired = await api.rows.token("watch", expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert is_problem(await api.get("/v1/alerts", expired), 401)
    revoked = await api.rows.token("watch")
    assert (await api.get("/v1/alerts", revoked)).status_code == 200
    await api.rows.conn.execute("UPDATE token SET revoked_at = now()")
    assert is_problem(await api.get("/v1/alerts", revoked), 401)


async def test_what_is_outside_ones_scope_is_not_there(api: Api) -> None:
    await api.rows.site("works")
    await api.rows.site("mill", region="shanxi")
    await api.rows.alert("a-works", site="works")
    await api.rows.alert("a-mill", site="mill")
    plant = await api.rows.token("operator", sites=["works"])
    agency = await api.rows.token("watch", regions=["shanxi"])
    auditor = await api.rows.token("auditor")
    assert [site["code"] for site in await api.items("/v1/sites", plant)] == ["works"]
    assert [alert["id"] for alert in await api.items("/v1/alerts", plant)] == ["a-works"]
    assert [alert["id"] for alert in await api.items("/v1/alerts", agency)] == ["a-mill"]
    assert len(await api.items("/v1/alerts", auditor)) == 2
    for path in ("/v1/sites/mill", "/v1/sites/mill/status", "/v1/stacks/mill/DA001/hours", "/v1/alerts/a-mill"):
        assert is_problem(await api.get(path, plant), 404), path
    outside = await api.http.post("/v1/alerts/a-mill/acknowledge", json={"note": "seen"}, headers=plant)
    assert is_problem(outside, 404)
    inside = await api.http.post("/v1/alerts/a-works/acknowledge", json={"note": "seen"}, headers=plant)
    assert is_problem(inside, 403)


async def test_every_error_is_a_problem_document(api: Api) -> None:
    await api.rows.site()
    watch = await api.rows.token("watch")
    assert is_problem(await api.get("/v1/nowhere"), 404)
    assert is_problem(await api.http.delete("/v1/sites"), 405)
    assert is_problem(await api.get("/v1/alerts", watch, limit=1001), 422)
    assert is_problem(await api.get("/v1/alerts", watch, cursor="AAAA"), 422)
    assert is_problem(await api.get("/v1/stacks/works/DA001/compliance", watch, month="2026-13"), 422)
    no_offset = await api.get("/v1/alerts", watch, **{"from": "2026-11-20T00:00:00"})
    assert is_problem(no_offset, 422)
    assert no_offset.json()["errors"][0]["path"] == "query.from"
    assert is_problem(await api.http.post("/v1/marks", content=b"{", headers=watch), 422)
    nul = await api.http.post("/v1/alerts/x/acknowledge", json={"note": "a\0b"}, headers=watch)
    assert is_problem(nul, 422)


async def test_an_unescaped_plus_in_a_time_is_understood(api: Api) -> None:
    await api.rows.site()
    await api.rows.tick(T0)
    await api.rows.hour(T0 - 10 * HOUR)
    answer = await api.http.get(
        "/v1/stacks/works/DA001/hours?from=2026-11-19T22:00:00+08:00&to=2026-11-19T23:00:00+08:00"
    )
    assert [hour["start"] for hour in answer.json()["items"]] == ["2026-11-19T14:00:00Z"]


async def test_raw_rows_come_oldest_first_over_all_instruments_and_pages_meet_without_gap_or_repeat(api: Api) -> None:
    await api.rows.site()
    for minute in range(7):
        await api.rows.measurement(T0 + timedelta(minutes=minute), so2=30.123456789012345)
    await api.rows.measurement(T0 + timedelta(minutes=3), instrument="backup", so2=None, extra='{"hg": 0.01}')
    watch = await api.rows.token("watch")
    path = "/v1/stacks/works/DA001/measurements"
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        answer = (await api.get(path, watch, limit=3, **({"cursor": cursor} if cursor else {}))).json()
        seen += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            break
    keys = [(row["sampled_at"], row["instrument"]) for row in seen]
    assert keys == sorted(keys)
    assert len(set(keys)) == 8
    assert seen[0]["so2"] == 30.123456789012345
    backup = next(row for row in seen if row["instrument"] == "backup")
    assert backup["so2"] is None
    assert backup["hg"] == 0.01
    assert backup["flags"] == {}
    assert len(await api.items(path, watch, instrument="backup")) == 1
    window = {"from": "2026-11-20T00:01:00Z", "to": "2026-11-20T00:03:00Z"}
    assert [row["sampled_at"][14:16] for row in await api.items(path, watch, **window)] == ["01", "02"]
    assert is_problem(await api.get(path), 401)


async def test_hours_answer_with_what_was_known_then(api: Api) -> None:
    await api.rows.site()
    await api.rows.tick(T0 + 5 * HOUR)
    later = T0 + 3 * HOUR
    await api.rows.hour(T0, revision=1, corrected=34.0, superseded_at=later)
    await api.rows.hour(T0, revision=2, corrected=36.0, verdict="breached", computed_at=later)
    path = "/v1/stacks/works/DA001/hours"
    (now,) = await api.items(path)
    assert (now["revision"], now["verdict"], now["corrected"]) == (2, "breached", 36.0)
    (then,) = await api.items(path, as_of=(later - timedelta(seconds=1)).isoformat())
    assert (then["revision"], then["verdict"], then["mean"]) == (1, "clear", 34.0)
    assert await api.items(path, as_of=T0.isoformat()) == []
    (at_once,) = await api.items(path, as_of=later.isoformat())
    assert at_once["revision"] == 2


async def test_the_public_sees_hours_after_the_delay_and_never_a_simulated_site(api: Api) -> None:
    await api.rows.site("works")
    await api.rows.site("demo", simulated=True)
    await api.rows.tick(T0 + 3 * HOUR)
    for number in range(3):
        await api.rows.hour(T0 + number * HOUR)
    path = "/v1/stacks/works/DA001/hours"
    assert [hour["start"] for hour in await api.items(path)] == ["2026-11-20T01:00:00Z", "2026-11-20T00:00:00Z"]
    assert len(await api.items(path, await api.rows.token("watch"))) == 3
    assert [site["code"] for site in await api.items("/v1/sites")] == ["works"]
    assert is_problem(await api.get("/v1/sites/demo"), 404)
    assert is_problem(await api.get("/v1/stacks/demo/DA001/hours"), 404)
    features = (await api.get("/v1/map")).json()["features"]
    assert [feature["properties"]["code"] for feature in features] == ["works"]


async def test_hours_filter_by_pollutant_and_page_newest_first(api: Api) -> None:
    await api.rows.site()
    watch = await api.rows.token("watch")
    for number in range(4):
        for pollutant in ("so2", "nox"):
            await api.rows.hour(T0 + number * HOUR, pollutant=pollutant)
    path = "/v1/stacks/works/DA001/hours"
    assert len(await api.items(path, watch, pollutant="nox")) == 4
    assert await api.items(path, watch, pack="another") == []
    first = (await api.get(path, watch, limit=3)).json()
    second = (await api.get(path, watch, limit=1000, cursor=first["next"])).json()
    keys = [(hour["start"], hour["pollutant"]) for hour in first["items"] + second["items"]]
    assert keys == sorted(keys, reverse=True)
    assert len(set(keys)) == 8
    assert second["next"] is None


async def test_compliance_is_the_month_per_pollutant_and_its_past(api: Api) -> None:
    await api.rows.site()
    later = T0 + HOUR
    await api.rows.month(within=95, above=5, superseded_at=later)
    await api.rows.month(within=94, above=6, computed_at=later, revision=2, verdict="breached", final=True)
    await api.rows.month(pollutant="nox")
    path = "/v1/stacks/works/DA001/compliance"
    answer = (await api.get(path, month="2026-11")).json()
    assert (answer["month"], answer["pack"], answer["final"]) == ("2026-11", PACK, False)
    so2 = answer["pollutants"]["so2"]
    assert (so2["hours_above"], so2["share"], so2["verdict"], so2["budget_left"]) == (6, 0.94, "breached", 4)
    assert so2["hours_excluded"] == {"not_running": 3}
    then = (await api.get(path, month="2026-11", as_of=T0.isoformat())).json()["pollutants"]
    assert then["so2"]["hours_above"] == 5
    empty = (await api.get(path, month="2026-10")).json()
    assert (empty["pollutants"], empty["final"]) == ({}, False)
    assert is_problem(await api.get(path, month="2026-11", pack="cn-gb28662-special"), 404)
    assert is_problem(await api.get(path), 422)


async def test_the_operator_sees_hour_month_alerts_and_the_last_sample(api: Api) -> None:
    site_id = await api.rows.site()
    await api.rows.tick(T0 + timedelta(minutes=20))
    await api.rows.hour(T0, corrected=31.5, final=False, valid_minutes=19)
    await api.rows.month()
    await api.rows.alert("open")
    await api.rows.alert("over", state="resolved", start=T0 - HOUR)
    await api.rows.conn.execute("INSERT INTO stack_latest SELECT stack_id, %s FROM stack", [T0 + timedelta(minutes=19)])
    operator = await api.rows.token("operator", sites=["works"])
    status = (await api.get("/v1/sites/works/status", operator)).json()
    assert (status["site"], status["state"], status["now"]) == ("works", "operating", "2026-11-20T00:20:00Z")
    (stack,) = status["stacks"]
    assert (stack["code"], stack["process"], stack["last_sample_at"]) == (
        "DA001",
        "sinter_head",
        "2026-11-20T00:19:00Z",
    )
    so2 = stack["hour"]["so2"]
    assert (so2["corrected"], so2["limit"], so2["valid_minutes"]) == (31.5, 35.0, 19)
    assert (so2["bounds"], so2["saveable"], so2["keep_below"]) == ({"low": None, "high": None}, None, None)
    assert (stack["hour"]["nox"]["limit"], stack["hour"]["nox"]["mean"]) == (50.0, None)
    assert stack["month"]["so2"]["budget_left"] == 5
    assert [alert["id"] for alert in status["alerts"]] == ["open"]
    assert (status["cases"], status["orders"]) == ([], [])
    assert is_problem(await api.get("/v1/sites/works/status"), 401)
    assert site_id > 0


async def test_alerts_are_filtered_and_paged_newest_first(api: Api) -> None:
    await api.rows.site("works")
    await api.rows.site("mill", region="shanxi")
    for number in range(5):
        await api.rows.alert(f"a-{number}", start=T0 + number * HOUR, state="resolved" if number % 2 else "firing")
    await api.rows.alert("m", site="mill", severity="critical", rule="month_below_share", start=T0)
    watch = await api.rows.token("watch")
    path = "/v1/alerts"
    assert len(await api.items(path, watch, state="resolved")) == 2
    assert len(await api.items(path, watch, state=["firing", "resolved"])) == 6
    assert [a["id"] for a in await api.items(path, watch, severity="critical")] == ["m"]
    assert [a["id"] for a in await api.items(path, watch, rule="month_below_share")] == ["m"]
    assert [a["id"] for a in await api.items(path, watch, region="shanxi")] == ["m"]
    assert len(await api.items(path, watch, site="works")) == 5
    window = {"from": "2026-11-20T01:00:00Z", "to": "2026-11-20T03:00:00Z"}
    assert [a["id"] for a in await api.items(path, watch, **window)] == ["a-2", "a-1"]
    assert is_problem(await api.get(path, watch, state="open"), 422)
    first = (await api.get(path, watch, limit=4)).json()
    second = (await api.get(path, watch, limit=4, cursor=first["next"])).json()
    assert [a["id"] for a in first["items"] + second["items"]] == ["a-4", "a-3", "a-2", "a-1", "m", "a-0"]


async def test_an_alert_is_acknowledged_once_by_the_agency_and_the_act_is_on_record(api: Api) -> None:
    await api.rows.site()
    await api.rows.alert(number=1)
    watch = await api.rows.token("watch")
    path = "/v1/alerts/hour-1/acknowledge"
    for roles in (("admin",), ("auditor",), ("operator",)):
        refused = await api.http.post(path, json={"note": "seen"}, headers=await api.rows.token(*roles))
        assert is_problem(refused, 403), roles
    answer = await api.http.post(path, json={"note": "called the shift"}, headers=watch)
    assert answer.status_code == 200
    alert = answer.json()
    assert (alert["state"], alert["acknowledged_note"], alert["observed"]) == (
        "acknowledged",
        "called the shift",
        61.25,
    )
    assert is_problem(await api.http.post(path, json={"note": "again"}, headers=watch), 409)
    detail = (await api.get("/v1/alerts/hour-1", watch)).json()
    assert [event["event"] for event in detail["events"]] == ["opened", "acknowledged"]
    assert [event["feed_number"] for event in detail["events"]] == [1, None]
    assert detail["events"][1]["document"]["state"] == "acknowledged"
    assert await api.rows.value("SELECT actor FROM audit WHERE action = 'alert_acknowledged'") == "a watch"


async def test_an_exported_alert_carries_evidence_register_and_pack(api: Api) -> None:
    await api.rows.site()
    await api.rows.alert()
    await api.rows.conn.execute("INSERT INTO alert_evidence VALUES ('hour-1', '{\"rows\": [1, 2]}')")
    answer = await api.get("/v1/alerts/hour-1/export", await api.rows.token("auditor"))
    export = answer.json()
    assert export["format"] == "stackwatch-alert/1"
    assert export["evidence"] == {"rows": [1, 2]}
    assert export["register"]["stack"]["process"] == "sinter_head"
    assert export["pack"]["name"] == PACK
    assert 'filename="hour-1.json"' in answer.headers["content-disposition"]


A_MARK: dict[str, Any] = {
    "site": "works",
    "stack": "DA001",
    "kind": "start_up",
    "start": "2026-11-20T08:30:00+08:00",
    "end": "2026-11-20T10:10:00+08:00",
    "reason": "strand lit after a stop",
    "evidence": [{"photo": "sha256:00"}],
}


async def test_a_mark_is_filed_by_the_plant_decided_by_the_agency_and_its_hours_are_judged_again(api: Api) -> None:
    await api.rows.site()
    await api.rows.tick(T0 + 10 * HOUR)
    operator = await api.rows.token("operator", sites=["works"])
    reviewer = await api.rows.token("reviewer", regions=["hebei"])
    assert is_problem(await api.http.post("/v1/marks", json=A_MARK, headers=reviewer), 403)
    filed = await api.http.post("/v1/marks", json=A_MARK, headers=operator)
    assert filed.status_code == 200, filed.text
    mark = filed.json()
    assert (mark["status"], mark["start"], mark["evidence"]) == (
        "pending",
        "2026-11-20T00:30:00Z",
        [{"photo": "sha256:00"}],
    )
    await api.rows.conn.execute("DELETE FROM rejudge")
    path = f"/v1/marks/{mark['id']}/decision"
    decision = {"decision": "accepted", "reason": "signals agree"}
    assert is_problem(await api.http.post(path, json=decision, headers=operator), 403)
    decided = await api.http.post(path, json=decision, headers=reviewer)
    assert (decided.json()["status"], decided.json()["decided_by"]) == ("accepted", "a reviewer")
    cursor = await api.rows.conn.execute("SELECT hour, reason FROM rejudge ORDER BY hour")
    assert await cursor.fetchall() == [(T0 + number * HOUR, "mark") for number in range(3)]
    assert is_problem(await api.http.post(path, json=decision, headers=reviewer), 409)
    assert [m["id"] for m in await api.items("/v1/marks", operator, status="accepted")] == [mark["id"]]
    assert await api.items("/v1/marks", operator, **{"from": "2026-11-20T03:00:00Z"}) == []
    assert is_problem(await api.get("/v1/marks"), 401)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "holiday"}, id="an_unknown_kind"),
        pytest.param({"end": A_MARK["start"]}, id="an_end_that_is_not_later"),
        pytest.param({"end": "2028-01-01T00:00:00Z"}, id="more_than_a_year"),
        pytest.param({"reason": "  "}, id="no_reason"),
        pytest.param({"evidence": ["\x00"]}, id="what_the_database_cannot_hold"),
        pytest.param({"colour": "red"}, id="an_unknown_key"),
    ],
)
async def test_a_mark_that_says_something_impossible_is_refused(api: Api, fault: dict[str, Any]) -> None:
    await api.rows.site()
    operator = await api.rows.token("operator")
    assert is_problem(await api.http.post("/v1/marks", json=A_MARK | fault, headers=operator), 422)


async def test_a_request_sent_twice_is_done_once(api: Api) -> None:
    await api.rows.site()
    operator = await api.rows.token("operator")
    keyed = operator | {"Idempotency-Key": "k-1"}
    first = await api.http.post("/v1/marks", json=A_MARK, headers=keyed)
    again = await api.http.post("/v1/marks", json=A_MARK, headers=keyed)
    assert first.json() == again.json()
    assert len(await api.items("/v1/marks", operator)) == 1
    other = await api.http.post("/v1/marks", json=A_MARK | {"reason": "another"}, headers=keyed)
    assert is_problem(other, 422)
    somebody = (await api.rows.token("operator")) | {"Idempotency-Key": "k-1"}
    assert (await api.http.post("/v1/marks", json=A_MARK, headers=somebody)).json()["id"] != first.json()["id"]


async def test_books_tell_dropped_in_flight_and_unexplained_rows_and_balance(api: Api) -> None:
    await api.rows.site()
    hour = T0
    await api.rows.frame(1, hour, fates={"stored": 6, "duplicate": 2, "conflict": 1, "quarantined": 1}, deliveries=3)
    # 2..3 were dropped, but a frame made before the drop says nothing of it yet; 7 tells
    await api.rows.frame(4, hour + HOUR, rows_before=30)
    # 5 never came, and the edge no longer holds it
    await api.rows.frame(6, hour + 2 * HOUR, rows_before=50)
    await api.rows.frame(7, hour + 2 * HOUR, rows_before=60, dropped_before=20, low=8)
    # 8 is still at the edge
    await api.rows.frame(9, hour + 3 * HOUR, rows_before=80, dropped_before=20, low=8)
    auditor = await api.rows.token("auditor")
    lines = {line["hour"][11:13]: line for line in await api.items("/v1/books", auditor)}
    fates = ("stored", "duplicate", "conflict", "quarantined", "dropped", "in_flight", "unexplained")
    assert [lines["00"][fate] for fate in fates] == [6, 2, 1, 1, 0, 0, 0]
    assert lines["00"]["redelivered"] == 20
    assert [lines["01"][fate] for fate in fates] == [10, 0, 0, 0, 20, 0, 0]
    assert [lines["02"][fate] for fate in fates] == [20, 0, 0, 0, 0, 0, 10]
    assert [lines["03"][fate] for fate in fates] == [10, 0, 0, 0, 0, 10, 0]
    for line in lines.values():
        assert line["published"] == sum(line[fate] for fate in fates)
    assert sum(line["published"] for line in lines.values()) == 90


async def test_books_count_a_frame_that_could_not_be_read_as_quarantined_and_rows_without_a_session_as_stored(
    api: Api,
) -> None:
    await api.rows.site()
    await api.rows.frame(1, T0)
    await api.rows.quarantined(b"half a frame", seq=2)
    await api.rows.frame(3, T0, rows_before=20, low=3)
    await api.rows.frame(None, T0, rows=4)
    (line,) = await api.items("/v1/books", await api.rows.token("auditor"), edge="gate-1")
    assert (line["stored"], line["quarantined"], line["unexplained"], line["published"]) == (24, 10, 0, 34)


async def test_a_row_given_up_before_it_was_framed_is_dropped_in_the_books(api: Api) -> None:
    await api.rows.site()
    await api.rows.frame(1, T0)
    await api.rows.frame(2, T0 + HOUR, rows_before=15, dropped_before=5)
    lines = await api.items("/v1/books", await api.rows.token("auditor"), **{"from": "2026-11-20T01:00:00Z"})
    assert [(line["dropped"], line["stored"], line["published"]) for line in lines] == [(5, 10, 15)]


async def test_a_quarantined_payload_is_shown_whole_and_released_once_but_not_by_the_plant(
    api: Api, database_url: str
) -> None:
    await api.rows.site()
    known = await api.rows.quarantined(b"\x00\xffgarbage")
    stray = await api.rows.quarantined(b"stray", site=None)
    operator = await api.rows.token("operator", sites=["works"])
    admin = await api.rows.token("admin")
    (shown,) = await api.items("/v1/quarantine", operator)
    assert base64.b64decode(shown["bytes"]) == b"\x00\xffgarbage"
    assert (shown["topic"], shown["reason"], shown["status"]) == ("ule/v1/works/gate-1/data", "is no JSON", "held")
    assert [item["id"] for item in await api.items("/v1/quarantine", admin)] == [stray, known]
    first = (await api.get("/v1/quarantine", admin, limit=1)).json()
    assert [i["id"] for i in await api.items("/v1/quarantine", admin, cursor=first["next"])] == [known]
    assert is_problem(await api.http.post(f"/v1/quarantine/{known}/release", headers=operator), 403)
    assert is_problem(await api.http.post(f"/v1/quarantine/{stray}/release", headers=operator), 404)
    async with rows_in(database_url) as listener:
        await listener.conn.execute("LISTEN quarantine")
        released = await api.http.post(f"/v1/quarantine/{known}/release", headers=admin)
        assert released.json()["status"] == "released"
        heard = [notice.payload async for notice in listener.conn.notifies(timeout=5, stop_after=1)]
    assert heard == [str(known)]
    assert is_problem(await api.http.post(f"/v1/quarantine/{known}/release", headers=admin), 409)


async def test_the_map_shows_state_worst_open_alert_and_month(api: Api) -> None:
    await api.rows.site()
    await api.rows.tick(T0)
    await api.rows.month(verdict="clear", pollutant="nox")
    await api.rows.month(verdict="breached")
    await api.rows.alert("one", severity="major")
    await api.rows.alert("two", severity="critical")
    answer = await api.get("/v1/map", await api.rows.token("watch"))
    assert answer.headers["content-type"] == "application/geo+json"
    (feature,) = answer.json()["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [118.18, 39.63]}
    assert feature["properties"]["severity"] == "critical"
    assert feature["properties"]["month"] == "breached"
    (public,) = (await api.get("/v1/map")).json()["features"]
    assert (public["properties"]["severity"], public["properties"]["month"]) == (None, "breached")


async def test_health_is_200_only_while_every_part_beats(api: Api) -> None:
    parts = ("ingestor", "broker", "stage", "outgoing")
    nothing = await api.get("/v1/health")
    assert nothing.status_code == 503
    assert nothing.json()["checks"]["database"]["ok"] is True
    assert "never" in nothing.json()["checks"]["stage"]["detail"]
    for part in parts:
        await api.rows.beat(part)
    assert (await api.get("/v1/health")).json()["status"] == "ok"
    for part in parts:
        await api.rows.beat(part, ok=False)
        unwell = await api.get("/v1/health")
        assert (unwell.status_code, unwell.json()["checks"][part]["ok"]) == (503, False)
        await api.rows.beat(part, age_s=16)
        assert (await api.get("/v1/health")).status_code == 503, part
        await api.rows.beat(part)
    assert (await api.get("/v1/health")).status_code == 200


async def test_health_says_which_sites_no_running_ingestor_takes(api: Api) -> None:
    await api.rows.site("works", region="hebei")
    await api.rows.site("mill", region="yunnan")
    for part in ("broker", "stage", "outgoing"):
        await api.rows.beat(part)
    await api.rows.beat("ingestor", share={"group": "", "sites": [], "regions": ["hebei"]})
    answer = await api.get("/v1/health")
    assert answer.status_code == 503
    assert answer.json()["checks"]["ingestor"] == {
        "ok": False,
        "detail": "no running ingestor takes the messages of 1 site (mill)",
    }
    await api.rows.site("model", region="yunnan", simulated=True)  # which does not exist for the public: not named
    detail = (await api.get("/v1/health")).json()["checks"]["ingestor"]["detail"]
    assert detail == "no running ingestor takes the messages of 2 sites (mill)"
    await api.rows.beat("ingestor", share={"group": "", "sites": ["mill", "model"], "regions": ["hebei"]})
    assert (await api.get("/v1/health")).status_code == 200


async def test_health_says_which_migration_is_missing(api: Api) -> None:
    await api.rows.conn.execute("DELETE FROM schema_migration WHERE number = 6")
    answer = await api.get("/v1/health")
    assert answer.status_code == 503
    assert "0006" in answer.json()["checks"]["migrations"]["detail"]


async def test_metrics_count_rows_alerts_and_queues(api: Api) -> None:
    await api.rows.site()
    await api.rows.frame(1, T0, rows=40)
    await api.rows.conn.execute("UPDATE batch SET stored_at = now() - interval '1 hour'")
    await api.rows.frame(2, T0, rows=2, rows_before=40)
    await api.rows.alert(severity="critical")
    await api.rows.beat("stage", age_s=3)
    await api.rows.conn.execute(
        "INSERT INTO rejudge (stack_id, hour, reason) SELECT stack_id, now(), 'rows' FROM stack"
    )
    lines = (await api.get("/metrics")).text.splitlines()
    assert "stackwatch_batch_rows_total 42" in lines
    assert 'stackwatch_open_alerts{severity="critical"} 1' in lines
    assert "stackwatch_rejudge_queue 1" in lines
    assert "stackwatch_unnumbered_events 1" in lines
    assert any(
        line.startswith('stackwatch_heartbeat_age_seconds{component="stage",instance="stage-1"} 3') for line in lines
    )


async def test_packs_keys_and_the_page_are_open_to_all_and_the_page_may_load_nothing_from_elsewhere(api: Api) -> None:
    assert PACK in [pack["name"] for pack in await api.items("/v1/packs")]
    assert await api.items("/v1/keys") == []
    page = await api.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in pages.FILES:
        file = await api.get(f"/pages/{name}")
        assert file.status_code == 200
        elsewhere = file.text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "http://" not in elsewhere
        assert "https://" not in elsewhere
    assert is_problem(await api.get("/pages/__init__.py"), 404)


async def test_a_database_that_is_away_is_503_without_its_address() -> None:
    app = create_app(Settings(database_url="postgresql://stackwatch:secret@127.0.0.1:1/none"))
    app.state.context.pool.timeout = 0.5
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as http,
    ):
        health = await http.get("/v1/health")
        assert health.status_code == 503
        assert health.json()["checks"]["database"] == {"ok": False, "detail": "the database does not answer"}
        sites = await http.get("/v1/sites", timeout=30)
    assert is_problem(sites, 503)
    assert "127.0.0.1" not in sites.text
    assert sites.headers["retry-after"] == "5"
