"""Silences and groups over the API: who may ask for quiet, about what, for how long, and what a list then shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from alerts.suppressing import follow_silences
from api.app import create_app
from fakes.api_rows import T0, Rows, rows_in
from plant.settings import Settings

pytestmark = pytest.mark.anyio

H = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Api:
    http: httpx.AsyncClient
    rows: Rows

    async def get(self, path: str, headers: dict[str, str], **query: Any) -> Any:
        answer = await self.http.get(path, headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ids(self, headers: dict[str, str], **query: Any) -> set[str]:
        return {alert["id"] for alert in (await self.get("/v1/alerts", headers, **query))["items"]}

    async def silence(self, headers: dict[str, str], **body: Any) -> httpx.Response:
        whole = {
            "site": "works",
            "owner": "shift 2",
            "reason": "the analyser is being replaced",
            "start": NOW.isoformat(),
            "end": (NOW + 4 * H).isoformat(),
            **body,
        }
        whole = {key: value for key, value in whole.items() if value is not None}
        return await self.http.post("/v1/silences", json=whole, headers=headers)

    async def tick(self, at: datetime = NOW) -> None:
        async with self.rows.conn.transaction():
            await follow_silences(self.rows.conn, now=at)


@asynccontextmanager
async def an_api(database_url: str) -> AsyncIterator[Api]:
    app = create_app(Settings(database_url=database_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        await rows.site("works")
        await rows.site("mill", region="shanxi")
        yield Api(http, rows)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with an_api(database_url) as running:
        yield running


async def test_an_officer_silences_a_site_until_an_instant_and_may_end_it_before(api: Api) -> None:
    watch = await api.rows.token("watch", regions=["hebei"])
    await api.rows.alert("loud")
    await api.rows.alert("quiet", rule="data_missing")
    made = (await api.silence(watch, rules=["data_missing"])).json()
    assert (made["state"], made["site"], made["region"], made["audience"]) == ("ahead", "works", "hebei", "everyone")
    assert await api.ids(watch, suppressed=False) == {"loud", "quiet"}
    await api.tick()
    assert await api.ids(watch, suppressed=False) == {"loud"}
    assert await api.ids(watch, suppressed=True) == {"quiet"}
    assert await api.ids(watch) == {"loud", "quiet"}, "marked, never gone"
    metrics = (await api.http.get("/metrics")).text.splitlines()
    assert 'stackwatch_suppressed_alerts{reason="silence"} 1' in metrics
    assert 'stackwatch_suppressed_alerts{reason="source_stopped"} 0' in metrics
    (listed,) = (await api.get("/v1/silences", watch, going_on=True))["items"]
    assert (listed["id"], listed["state"]) == (made["id"], "in_force")
    ended = await api.http.post(f"/v1/silences/{made['id']}/end", json={"reason": "replaced"}, headers=watch)
    assert (ended.status_code, ended.json()["ended_why"]) == (200, "replaced")
    await api.tick()
    assert await api.ids(watch, suppressed=False) == {"loud", "quiet"}
    again = await api.http.post(f"/v1/silences/{made['id']}/end", json={"reason": "again"}, headers=watch)
    assert again.status_code == 409
    assert (await api.get("/v1/silences", watch, going_on=True))["items"] == []


async def test_a_silence_of_a_region_is_for_its_sites_alone(api: Api) -> None:
    watch = await api.rows.token("watch", regions=["hebei"])
    await api.rows.alert("here")
    await api.rows.alert("there", site="mill")
    assert (await api.silence(watch, site=None, region="hebei")).status_code == 200
    assert (await api.silence(watch, site=None, region="shanxi")).status_code == 404
    assert (await api.silence(watch, site="mill")).status_code == 404
    await api.tick()
    everywhere = await api.rows.token("auditor")
    assert await api.ids(everywhere, suppressed=True) == {"here"}


@pytest.mark.parametrize(
    "body",
    [
        {"end": (NOW + timedelta(days=32)).isoformat()},
        {"end": (NOW - H).isoformat()},
        {"rules": ["of_last_year"]},
        {"site": None},
        {"region": "hebei"},
        {"owner": " "},
        {"site": None, "region": "hebei", "stack": "DA001"},
    ],
    ids=["too long", "ends first", "no rule", "nowhere", "two places", "nobody", "stack without site"],
)
async def test_a_silence_has_a_place_an_owner_and_an_end(api: Api, body: dict[str, Any]) -> None:
    watch = await api.rows.token("watch")
    answer = await api.silence(watch, **body)
    assert answer.status_code == 422, answer.text


async def test_a_plant_silences_its_own_data_for_itself_and_nothing_that_it_is_judged_by(api: Api) -> None:
    operator = await api.rows.token("operator", sites=["works"])
    safety = await api.rows.token("safety", sites=["works"])
    auditor, watch = await api.rows.token("auditor"), await api.rows.token("watch")
    await api.rows.alert("gap", rule="data_missing")
    assert (await api.silence(operator)).status_code == 422
    assert (await api.silence(operator, rules=["data_missing", "hour_above_limit"])).status_code == 422
    assert (await api.silence(safety, rules=["data_missing"])).status_code == 403
    assert (await api.silence(auditor, rules=["data_missing"])).status_code == 403
    made = await api.silence(operator, rules=["data_missing"])
    assert (made.status_code, made.json()["audience"]) == (200, "plant")
    await api.tick()
    assert await api.ids(operator, suppressed=False) == set()
    assert await api.ids(watch, suppressed=False) == {"gap"}
    not_theirs = await api.http.post(f"/v1/silences/{made.json()['id']}/end", json={"reason": "no"}, headers=watch)
    assert not_theirs.status_code == 403


async def test_an_operator_of_many_sites_silences_no_region(api: Api) -> None:
    operator = await api.rows.token("operator")
    answer = await api.silence(operator, site=None, region="hebei", rules=["data_missing"])
    assert answer.status_code == 422
    assert "not a region" in answer.json()["detail"]


async def test_an_operator_who_also_audits_silences_no_more_than_an_operator(api: Api) -> None:
    both = await api.rows.token("operator", "auditor", sites=["works"])
    assert (await api.silence(both, rules=["hour_above_limit"])).status_code == 422
    assert (await api.silence(both, rules=["data_missing"])).json()["audience"] == "plant"


async def test_a_plant_does_not_see_what_the_agency_leaves_unheard(api: Api) -> None:
    operator, watch = await api.rows.token("operator", sites=["works"]), await api.rows.token("watch")
    made = (await api.silence(watch)).json()
    assert (await api.get("/v1/silences", operator))["items"] == []
    assert (await api.get("/v1/silences", watch))["items"] == [made]
    answer = await api.http.post(f"/v1/silences/{made['id']}/end", json={"reason": "no"}, headers=operator)
    assert answer.status_code == 404


async def test_a_silence_sent_twice_with_one_key_is_one(api: Api) -> None:
    watch = await api.rows.token("watch")
    keyed = {**watch, "Idempotency-Key": "one"}
    first, second = await api.silence(keyed), await api.silence(keyed)
    assert first.json() == second.json()
    assert len((await api.get("/v1/silences", watch))["items"]) == 1
    assert await api.rows.value("SELECT count(*) FROM audit WHERE action = 'silence_created'") == 1


async def test_open_alerts_are_one_line_by_site_and_kind(api: Api) -> None:
    watch = await api.rows.token("watch")
    for n in range(30):
        await api.rows.alert(f"hour-{n:02}", start=T0 + n * H, severity="critical" if n == 3 else "warning")
    await api.rows.alert("over", start=T0 - H, state="resolved")
    await api.rows.alert("gap", rule="data_missing", site="mill", severity="info")
    answer = await api.get("/v1/alerts/groups", watch)
    assert (answer["alerts"], answer["complete"]) == (31, True)
    storm, gap = answer["items"]
    assert (storm["key"], storm["alerts"], storm["by_severity"]["warning"]) == ("works/exceedance", 30, 29)
    assert (storm["worst"]["id"], storm["ids"][:2]) == ("hour-03", ["hour-03", "hour-29"])
    assert (gap["key"], gap["kind"], gap["site"]) == ("mill/data", "data", "mill")
    (only,) = (await api.get("/v1/alerts/groups", watch, site="mill"))["items"]
    assert only["key"] == "mill/data"
    assert (await api.http.get("/v1/alerts/groups")).status_code == 401


async def test_an_alert_about_stackwatch_itself_has_no_site_and_is_seen_by_who_sees_everything(api: Api) -> None:
    await api.rows.conn.execute(
        """INSERT INTO alert (alert_id, rule, severity, state, period_start, period_end, started_at, clause, evidence)
        VALUES ('silent', 'stage_silent', 'critical', 'firing', %s, %s, %s, 'own', '{}')""",
        [T0, T0, T0],
    )
    auditor, watch = await api.rows.token("auditor"), await api.rows.token("watch", regions=["hebei"])
    assert await api.ids(auditor) == {"silent"}
    assert await api.ids(watch) == set()
    document = await api.get("/v1/alerts/silent", auditor)
    assert (document["site"], document["suppressed_by"]) == (None, None)
