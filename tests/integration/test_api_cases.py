"""Cases over HTTP: opened, moved by the roles that may, sent twice, and what the public sees of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api.app import create_app
from fakes.api_rows import T0, Rows, rows_in
from plant.settings import Settings

pytestmark = pytest.mark.anyio

MONTH = {"rule": "month_below_share", "severity": "critical", "start": datetime(2026, 9, 30, 16, tzinfo=UTC)}


class Agency:
    """One region's people, and the plant's, at the works."""

    def __init__(self, http: httpx.AsyncClient, rows: Rows) -> None:
        self.http = http
        self.rows = rows
        self.people: dict[str, dict[str, str]] = {}

    async def staffed(self) -> Agency:
        await self.rows.site()
        await self.rows.tick(T0)
        await self.rows.alert("month-1", **MONTH)  # type: ignore[arg-type]  # of several types
        for role in ("watch", "investigator", "reviewer", "decider", "admin"):
            self.people[role] = await self.rows.token(role, regions=["hebei"])
        self.people["operator"] = await self.rows.token("operator", sites=["works"])
        return self

    async def open(self, role: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.http.post("/v1/cases", json=body, headers=self.people[role] | headers)

    async def act(self, role: str, case: str, action: str, **headers: str) -> httpx.Response:
        body = {"action": action, "reason": f"{action} for the record", "evidence": ["photo 1"]}
        return await self.http.post(f"/v1/cases/{case}/actions", json=body, headers=self.people[role] | headers)


@pytest.fixture
async def agency(database_url: str) -> AsyncIterator[Agency]:
    app = create_app(Settings(database_url=database_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield await Agency(http, rows).staffed()


async def test_a_case_is_opened_from_an_alert_and_moved_by_the_roles_that_may(agency: Agency) -> None:
    refused = await agency.open("watch", {"alert": "month-1"})
    assert refused.status_code == 403
    opened = await agency.open("investigator", {"alert": "month-1"})
    assert opened.status_code == 200, opened.text
    case = opened.json()
    assert (case["state"], case["track"], case["units"], case["actions"]) == (
        "detected",
        "deadline",
        ["S1"],
        ["verify"],
    )
    assert (await agency.act("operator", case["id"], "verify")).status_code == 403
    assert (await agency.act("admin", case["id"], "verify")).status_code == 403
    assert (await agency.act("decider", case["id"], "decide")).status_code == 409
    assert (await agency.act("decider", case["id"], "fly")).status_code == 422
    for role, action, state in (
        ("investigator", "verify", "verified"),
        ("decider", "decide", "decided"),
        ("decider", "serve", "suspended"),
    ):
        answer = await agency.act(role, case["id"], action)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == state
    events = answer.json()["events"]
    assert [event["action"] for event in events] == ["open", "verify", "decide", "serve"]
    status = (await agency.http.get("/v1/sites/works/status", headers=agency.people["operator"])).json()
    assert status["state"] == "suspended"
    (order,) = status["orders"]
    assert (order["order"], order["case"]) == ("suspend", case["id"])
    assert order["units"][0]["unit"] == "S1"
    assert [item["id"] for item in status["cases"]] == [case["id"]]
    detail = (await agency.http.get("/v1/alerts/month-1", headers=agency.people["watch"])).json()
    assert detail["cases"] == [case["id"]]
    export = (await agency.http.get(f"/v1/cases/{case['id']}/export", headers=agency.people["watch"])).json()
    assert len(export["events"]) == 4
    acts = await agency.rows.value("SELECT array_agg(action ORDER BY audit_id) FROM audit WHERE action LIKE 'case%%'")
    assert acts == ["case_opened", "case_verify", "case_decide", "case_serve", "case_exported"]


async def test_an_act_sent_twice_is_done_once_and_a_refusal_may_be_tried_again(agency: Agency) -> None:
    case = (await agency.open("investigator", {"alert": "month-1"})).json()["id"]
    early = await agency.act("decider", case, "decide", **{"Idempotency-Key": "d"})
    assert early.status_code == 409
    first = await agency.act("investigator", case, "verify", **{"Idempotency-Key": "v"})
    again = await agency.act("investigator", case, "verify", **{"Idempotency-Key": "v"})
    assert first.status_code == 200
    assert again.json() == first.json()
    assert (await agency.act("investigator", case, "verify")).status_code == 409
    assert (await agency.act("decider", case, "decide", **{"Idempotency-Key": "d"})).json()["state"] == "decided"


async def test_the_public_sees_a_case_once_an_order_was_served_without_names_and_reasons(agency: Agency) -> None:
    case = (await agency.open("investigator", {"alert": "month-1"})).json()["id"]
    await agency.act("investigator", case, "verify")
    await agency.act("decider", case, "decide")
    assert (await agency.http.get("/v1/cases")).json() == {"items": [], "next": None}
    assert (await agency.http.get(f"/v1/cases/{case}")).status_code == 404
    assert (await agency.act("decider", case, "serve")).status_code == 200
    (public,) = (await agency.http.get("/v1/cases")).json()["items"]
    assert public == (await agency.http.get(f"/v1/cases/{case}")).json()
    assert (public["state"], public["actions"], public["due"]) == ("suspended", [], None)
    assert [(e["action"], e["actor"], e["reason"]) for e in public["events"]] == [("serve", None, None)]
    assert public["orders"][0]["order"] == "suspend"
    assert not {"alerts", "pinned"} & set(public)
    assert (await agency.http.get(f"/v1/cases/{case}/export")).status_code == 401
    await agency.rows.conn.execute("UPDATE site SET simulated = true")
    assert (await agency.http.get("/v1/cases")).json()["items"] == []


async def test_cases_are_opened_by_tip_and_by_hand_and_listed_newest_first(agency: Agency) -> None:
    tip = await agency.open("investigator", {"tip": "smoke at night", "site": "works"})
    assert (tip.status_code, tip.json()["track"]) == (200, "evasion")
    by_hand = {"site": "works", "track": "ule", "reason": "inspection of October"}
    hand = await agency.open("reviewer", by_hand)
    assert (hand.status_code, hand.json()["track"]) == (200, "ule")
    assert (await agency.open("reviewer", by_hand)).status_code == 409
    headers = agency.people["watch"]
    first = (await agency.http.get("/v1/cases?limit=1", headers=headers)).json()
    rest = (await agency.http.get(f"/v1/cases?cursor={first['next']}", headers=headers)).json()
    assert {case["id"] for case in first["items"] + rest["items"]} == {tip.json()["id"], hand.json()["id"]}
    opened = [case["opened_at"] for case in first["items"] + rest["items"]]
    assert opened == sorted(opened, reverse=True)
    assert len((await agency.http.get("/v1/cases?state=detected&site=works", headers=headers)).json()["items"]) == 2
    assert (await agency.http.get("/v1/cases?state=lifted", headers=headers)).json()["items"] == []
    assert (await agency.http.get("/v1/cases?state=open", headers=headers)).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"tip": "smoke"}, id="a_tip_without_a_site"),
        pytest.param({"site": "works"}, id="a_site_without_a_reason"),
        pytest.param({"site": "works", "track": "other", "reason": "x"}, id="an_unknown_track"),
        pytest.param({"alert": "month-1", "site": "works"}, id="an_alert_and_a_site"),
    ],
)
async def test_a_case_that_nothing_is_the_ground_of_is_not_opened(agency: Agency, body: dict[str, Any]) -> None:
    assert (await agency.open("investigator", body)).status_code == 422


async def test_what_is_outside_the_scope_cannot_be_taken_up(agency: Agency) -> None:
    await agency.rows.site("mill", region="shanxi")
    await agency.rows.alert("elsewhere", site="mill")
    agency.people["shanxi"] = await agency.rows.token("investigator", "decider", regions=["shanxi"])
    case = (await agency.open("investigator", {"alert": "month-1"})).json()["id"]
    assert (await agency.open("investigator", {"alert": "elsewhere"})).status_code == 404
    assert (await agency.open("investigator", {"tip": "smoke", "site": "mill"})).status_code == 404
    assert (await agency.act("shanxi", case, "verify")).status_code == 404
    assert (await agency.http.get("/v1/cases", headers=agency.people["shanxi"])).json()["items"] == []
