"""Receivers over HTTP: who may, what is never shown, what is refused, and what every act leaves behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from alerts.notify.sealing import load_seal, new_key
from alerts.notify.standard_webhooks import key_of, secret_from
from api.app import create_app
from fakes.api_rows import Rows, rows_in
from plant.settings import Settings

pytestmark = pytest.mark.anyio

SECRET: Final = secret_from(b"s" * 32)
WEBHOOK: Final[dict[str, Any]] = {
    "name": "desk",
    "kind": "webhook",
    "url": "https://desk.example/hooks/T0KEN",
    "routes": [{"name": "all"}],
}


@dataclass(frozen=True, slots=True)
class Api:
    http: httpx.AsyncClient
    rows: Rows
    seal_file: str

    async def post(
        self, path: str, token: Mapping[str, str], body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> httpx.Response:
        headers = {**token, **({"Idempotency-Key": key} if key else {})}
        return await self.http.post(f"/v1/receivers{path}", json=body, headers=headers)

    async def get(self, path: str, token: Mapping[str, str]) -> httpx.Response:
        return await self.http.get(f"/v1/receivers{path}", headers=dict(token))

    async def sealed(self, name: str = "desk") -> dict[str, Any]:
        """What lies sealed in the database, opened."""
        found = await self.rows.value("SELECT sealed FROM receiver WHERE name = %s AND retired_at IS NULL", [name])
        return load_seal(self.seal_file).open(bytes(found))


@asynccontextmanager
async def an_api(database_url: str, seal_file: str, **settings: str) -> AsyncIterator[Api]:
    app = create_app(Settings(database_url=database_url, secrets_key_file=seal_file, **settings))  # type: ignore[arg-type]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        await rows.site("works")
        await rows.site("mill", region="shanxi")
        yield Api(http, rows, seal_file)


@pytest.fixture
def seal_file(tmp_path: Path) -> str:
    path = tmp_path / "secrets.key"
    path.write_text(new_key())
    return str(path)


@pytest.fixture
async def api(database_url: str, seal_file: str) -> AsyncIterator[Api]:
    async with an_api(database_url, seal_file) as running:
        yield running


async def test_a_secret_is_shown_once_and_nothing_that_is_read_holds_one(api: Api) -> None:
    admin = await api.rows.token("admin")
    made = (await api.post("", admin, WEBHOOK)).json()
    key_of(made["secret"])
    assert (await api.sealed())["secrets"] == [made["secret"]]
    answers = [await api.get(path, admin) for path in ("", "/desk", "/desk/messages")]
    answers += [await api.post("/desk/test", admin), await api.post("/desk/disable", admin, {"reason": "moved"})]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert made["secret"] not in answer.text
        assert "T0KEN" not in answer.text
    assert answers[1].json()["target"] == {"url": "https://desk.example/***", "secrets": 1}
    everything = await api.rows.value(
        """SELECT string_agg(row::text, '') FROM (SELECT to_jsonb(r) - 'sealed' AS row FROM receiver r
           UNION ALL SELECT to_jsonb(a) FROM audit a UNION ALL SELECT to_jsonb(o) FROM outgoing o) rows"""
    )
    assert "T0KEN" not in everything
    assert made["secret"] not in everything


async def test_a_request_that_is_sent_twice_makes_one_receiver_and_shows_its_secret_once(api: Api) -> None:
    admin = await api.rows.token("admin")
    first = await api.post("", admin, WEBHOOK, key="k1")
    again = await api.post("", admin, WEBHOOK, key="k1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == {**first.json(), "secret": None}
    other = await api.post("", admin, {**WEBHOOK, "url": "https://desk.example/other"}, key="k1")
    assert other.status_code == 422, "another URL is another request"
    assert (await api.post("", admin, WEBHOOK)).status_code == 409, "the name is taken"
    assert first.json()["secret"] not in str(await api.rows.value("SELECT answer FROM idempotency"))


async def test_the_plant_that_is_judged_has_nobody_told_and_sees_nobody(api: Api) -> None:
    await api.post("", await api.rows.token("admin"), WEBHOOK)
    for role in ("operator", "maintainer", "safety"):
        token = await api.rows.token(role, sites=["works"])
        assert (await api.post("", token, {**WEBHOOK, "name": "own"})).status_code == 403
        assert (await api.get("", token)).status_code == 403
        assert (await api.get("/desk", token)).status_code == 404, "it is outside of its scope"
    assert (await api.http.get("/v1/receivers")).status_code == 401


async def test_an_auditor_reads_and_changes_nothing(api: Api) -> None:
    await api.post("", await api.rows.token("admin"), WEBHOOK)
    auditor = await api.rows.token("auditor")
    assert (await api.get("/desk", auditor)).status_code == 200
    assert (await api.post("/desk/test", auditor)).status_code == 403
    assert (await api.post("", auditor, WEBHOOK)).status_code == 403


async def test_an_agency_sees_the_receivers_of_its_region_and_makes_them_for_it_alone(api: Api) -> None:
    hebei = await api.rows.token("watch", regions=["hebei"])
    shanxi = await api.rows.token("investigator", regions=["shanxi"])
    made = (await api.post("", hebei, WEBHOOK)).json()
    assert (made["regions"], made["system"]) == (["hebei"], False)
    assert [item["name"] for item in (await api.get("", hebei)).json()["items"]] == ["desk"]
    assert (await api.get("", shanxi)).json()["items"] == []
    assert (await api.get("/desk", shanxi)).status_code == 404
    assert (await api.post("/desk/test", shanxi)).status_code == 404
    beyond = {**WEBHOOK, "name": "beyond", "routes": [{"name": "r", "regions": ["shanxi"], "sites": ["mill"]}]}
    refused = await api.post("", hebei, beyond)
    assert refused.status_code == 422
    assert {fault["path"] for fault in refused.json()["errors"]} == {"routes.0.regions", "routes.0.sites"}


async def test_only_an_administrator_of_everything_is_told_of_the_installation_itself(api: Api) -> None:
    admin = await api.rows.token("admin")
    assert (await api.post("", admin, WEBHOOK)).json()["system"] is True
    assert (await api.post("", admin, {**WEBHOOK, "name": "b", "system": False})).json()["system"] is False
    watch = await api.rows.token("watch")
    assert (await api.post("", watch, {**WEBHOOK, "name": "c", "system": True})).status_code == 403
    narrow = await api.rows.token("admin", regions=["hebei"])
    assert (await api.post("", narrow, {**WEBHOOK, "name": "d", "system": True})).status_code == 403
    assert (await api.post("/desk/retire", watch, {"reason": "because"})).status_code == 403


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param({"url": "http://desk.example/"}, "url", id="unencrypted"),
        pytest.param({"url": "https://127.0.0.1/"}, "url", id="this_machine"),
        pytest.param({"url": "https://[::ffff:10.0.0.1]/"}, "url", id="inside_in_disguise"),
        pytest.param({"secret": "whsec_short"}, "secret", id="no_secret"),
        pytest.param({"routes": []}, "body.webhook.routes", id="no_route"),
        pytest.param({"routes": [{"name": "a"}, {"name": "a"}]}, "routes.1.name", id="a_name_twice"),
        pytest.param({"routes": [{"name": "system"}]}, "routes.0.name", id="our_own_name"),
        pytest.param({"routes": [{"name": "a", "rules": ["no_such_rule"]}]}, "routes.0.rules", id="no_such_rule"),
        pytest.param({"routes": [{"name": "a", "sites": ["nowhere"]}]}, "routes.0.sites", id="no_such_site"),
        pytest.param({"routes": [{"name": "a", "tracks": ["x"]}]}, "body.webhook.routes.0.tracks.0", id="no_track"),
        pytest.param({"routes": [{"name": "a", "repeat_s": 5}]}, "body.webhook.routes.0.repeat_s", id="too_often"),
        pytest.param({"routes": [{"name": "a", "sevrity": "x"}]}, "body.webhook.routes.0.sevrity", id="misspelt"),
        pytest.param({"kind": "pigeon"}, "body", id="another_kind"),
        pytest.param({"language": "fr"}, "body.webhook.language", id="another_language"),
    ],
)
async def test_what_would_be_wrong_or_without_effect_is_refused_and_not_repeated(
    api: Api, change: dict[str, Any], path: str
) -> None:
    answer = await api.post("", await api.rows.token("admin"), {**WEBHOOK, **change})
    assert answer.status_code == 422, answer.text
    assert path in {fault["path"] for fault in answer.json()["errors"]}
    for secret in (change.get("url"), change.get("secret")):
        assert secret is None or secret not in answer.text
    assert await api.rows.value("SELECT count(*) FROM receiver") == 0


async def test_mail_and_services_are_made_too_and_only_those_that_we_send_to(api: Api) -> None:
    admin = await api.rows.token("admin")
    routes = WEBHOOK["routes"]
    post = {"name": "post", "kind": "mail", "to": ["duty@example.com"], "routes": routes}
    assert (await api.post("", admin, post)).json()["target"] == {"to": ["duty@example.com"]}
    ding = {"name": "ding", "kind": "apprise", "url": "dingtalk://T0KEN/13800000000", "routes": routes}
    made = (await api.post("", admin, ding)).json()
    assert (made["target"], made["secret"]) == ({"url": "dingtalk://***"}, None)
    for url in ("syslog://", "mmost://chat.example/token", "jsons://chat.example/?verify=no"):
        assert (await api.post("", admin, {**ding, "name": "x", "url": url})).status_code == 422
    assert (await api.post("", admin, {**post, "name": "x", "to": ["a@b\r\nBcc: c@d"]})).status_code == 422


async def test_networks_that_are_listed_may_be_sent_to_unencrypted(database_url: str, seal_file: str) -> None:
    async with an_api(database_url, seal_file, notify_networks="10.0.0.0/8") as api:
        admin = await api.rows.token("admin")
        assert (await api.post("", admin, {**WEBHOOK, "url": "http://10.1.2.3/hook"})).status_code == 200
        inside = {**WEBHOOK, "name": "x", "url": "http://192.168.1.1/hook"}
        assert (await api.post("", admin, inside)).status_code == 422


async def test_without_a_key_that_seals_nobody_can_be_made(database_url: str, seal_file: str) -> None:
    async with an_api(database_url, "") as api:
        answer = await api.post("", await api.rows.token("admin"), WEBHOOK)
    assert answer.status_code == 409
    assert "STACKWATCH_SECRETS_KEY_FILE" in answer.json()["detail"]


async def test_a_secret_is_changed_and_the_old_one_signs_for_a_while(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, {**WEBHOOK, "secret": SECRET})
    changed = (await api.post("/desk/secret", admin, {"keep_s": 3_600})).json()
    sealed = await api.sealed()
    assert sealed["secrets"] == [changed["secret"], SECRET]
    assert sealed["ends"][0] is None
    assert sealed["ends"][1] > 0
    own = secret_from(b"o" * 32)
    given = (await api.post("/desk/secret", admin, {"secret": own, "keep_s": 0})).json()
    assert given["secret"] is None, "who gave it knows it"
    assert (await api.sealed())["secrets"] == [own]
    assert (await api.post("/desk/secret", admin, {"secret": "whsec_x"})).status_code == 422


async def test_a_receiver_moves_and_keeps_its_secret(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, {**WEBHOOK, "secret": SECRET})
    moved = await api.post("/desk/target", admin, {"url": "https://other.example/T0KEN"})
    assert moved.json()["target"]["url"] == "https://other.example/***"
    assert await api.sealed() == {"url": "https://other.example/T0KEN", "secrets": [SECRET], "ends": [None]}
    for wrong in ({"url": "https://127.0.0.1/"}, {"to": ["a@example.com"]}, {}):
        assert (await api.post("/desk/target", admin, wrong)).status_code == 422


async def test_routes_are_replaced_whole(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, WEBHOOK)
    routes = [{"name": "grave", "at_least": "major", "groups": ["exceedance"], "repeat_s": None}]
    (route,) = (await api.post("/desk/routes", admin, {"routes": routes})).json()["routes"]
    assert (route["name"], route["groups"], route["repeat_s"], route["wait_s"]) == ("grave", ["exceedance"], None, 30)


async def test_a_test_is_owed_and_seen_among_the_messages_and_may_be_sent_again(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, WEBHOOK)
    queued = (await api.post("/desk/test", admin, key="k")).json()
    assert (await api.post("/desk/test", admin, key="k")).json() == queued
    (message,) = (await api.get("/desk/messages", admin)).json()["items"]
    assert (message["id"], message["type"], message["sent_at"]) == (queued["id"], "receiver.test", None)
    await api.rows.conn.execute("UPDATE outgoing SET sent_at = now()")
    assert (await api.get("/desk", admin)).json()["waiting"] == 0
    assert (await api.post(f"/desk/messages/{queued['id']}/resend", admin)).json() == queued
    assert (await api.get("/desk", admin)).json()["waiting"] == 1
    assert (await api.post("/desk/messages/none/resend", admin)).status_code == 404


async def test_messages_are_paged_newest_first(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, WEBHOOK)
    made = [(await api.post("/desk/test", admin)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    query = "?limit=2"
    while query:
        answer = (await api.get(f"/desk/messages{query}", admin)).json()
        seen += [message["id"] for message in answer["items"]]
        query = f"?limit=2&cursor={answer['next']}" if answer["next"] else ""
    assert seen == made[::-1]


async def test_a_disabled_receiver_takes_no_test_until_it_is_enabled_and_a_retired_ones_name_is_free(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, WEBHOOK)
    await api.post("/desk/test", admin)
    disabled = (await api.post("/desk/disable", admin, {"reason": "the desk moved"})).json()
    assert (disabled["state"], disabled["disabled_why"], disabled["gave_up"]) == ("disabled", "the desk moved", 1)
    assert (await api.post("/desk/test", admin)).status_code == 409
    (message,) = (await api.get("/desk/messages", admin)).json()["items"]
    assert (await api.post(f"/desk/messages/{message['id']}/resend", admin)).status_code == 409
    assert (await api.post("/desk/enable", admin)).json()["state"] == "well"
    assert (await api.post("/desk/retire", admin, {"reason": "no more"})).status_code == 200
    assert (await api.get("/desk", admin)).status_code == 404
    assert (await api.post("", admin, WEBHOOK)).status_code == 200
    assert await api.rows.value("SELECT count(*) FROM receiver") == 2, "nothing is erased"


async def test_every_act_is_noted(api: Api) -> None:
    admin = await api.rows.token("admin")
    await api.post("", admin, WEBHOOK)
    for path, body in (
        ("/routes", {"routes": [{"name": "a"}]}),
        ("/target", {"url": "https://other.example/"}),
        ("/secret", {}),
        ("/test", None),
        ("/disable", {"reason": "x"}),
        ("/enable", None),
        ("/retire", {"reason": "x"}),
    ):
        assert (await api.post(f"/desk{path}", admin, body)).status_code == 200, path
    cursor = await api.rows.conn.execute("SELECT action FROM audit WHERE object = 'receiver desk' ORDER BY audit_id")
    assert [action for (action,) in await cursor.fetchall()] == [
        "receiver_made",
        "receiver_routed",
        "receiver_moved",
        "receiver_secret_changed",
        "receiver_tried",
        "receiver_disabled",
        "receiver_enabled",
        "receiver_retired",
    ]


async def test_a_dead_receiver_makes_health_degraded_and_no_error(api: Api) -> None:
    for part in ("ingestor", "broker", "stage", "outgoing"):
        await api.rows.conn.execute(
            "INSERT INTO heartbeat (component, instance, beat_at, ok, detail) VALUES (%s, 'a', now(), true, '{}')",
            [part],
        )
    await api.post("", await api.rows.token("admin"), WEBHOOK)
    well = await api.http.get("/v1/health")
    assert (well.status_code, well.json()["status"]) == (200, "ok")
    await api.rows.conn.execute("UPDATE receiver SET dead_alert = 'al-1'")
    dead = await api.http.get("/v1/health")
    assert (dead.status_code, dead.json()["status"]) == (200, "degraded"), json.dumps(dead.json())
    assert dead.json()["checks"]["receivers"] == {"ok": False, "detail": "1 of 1 receivers of notifications are dead"}
    assert "desk" not in dead.text, "anybody may ask for health"
