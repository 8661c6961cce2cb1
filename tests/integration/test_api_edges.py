"""What edges say of themselves, from their retained state to the operator's view of a site."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api.app import create_app
from fakes.api_rows import T0, Rows, rows_in
from ingestor.notes import _state
from plant import wire
from plant.settings import Settings
from store.intake import put_edge_state

pytestmark = pytest.mark.anyio

SOURCE = {"kind": "hj212.listen", "ok": False, "detail": "no logger", "tolerated": {"crc": 3}, "restarts": 2}
SENT = {"connected": False, "last_confirmed": "2026-11-20T00:00:00Z", "waiting": 12, "refused": {"4": 3}}
UPLINK = {"kind": "hj212.uplink", "ok": True, "detail": "", "tolerated": {}, "restarts": 0, "figures": SENT}
WELL = {"ok": True, "detail": "in use"}
PARTS: dict[str, Any] = {"sources": {"logger-1": SOURCE, "bureau": UPLINK}, "agent_file": WELL, "hook": WELL}


def kept(more: dict[str, Any], *, online: bool = True) -> dict[str, Any]:
    return _state(json.loads(wire.state_bytes(online=online, version="1.0", outbox=2, oldest_ms=5, more=more)))


@asynccontextmanager
async def an_api(database_url: str) -> AsyncIterator[tuple[Rows, httpx.AsyncClient]]:
    app = create_app(Settings(database_url=database_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield rows, http


async def test_the_operator_sees_what_each_edge_says_of_itself(database_url: str) -> None:
    async with an_api(database_url) as (rows, http):
        site_id = await rows.site()
        other_id = await rows.site("mill")
        await put_edge_state(rows.conn, site_id, "gate-2", kept({}), T0)  # an older version: nothing of its parts
        await put_edge_state(rows.conn, site_id, "gate-1", kept(PARTS), T0)
        await put_edge_state(rows.conn, other_id, "gate-3", kept(PARTS), T0)
        operator = await rows.token("operator", sites=["works"])
        answer = await http.get("/v1/sites/works/status", headers=operator)
        assert answer.status_code == 200, answer.text
        first, second = answer.json()["edges"]
        assert (datetime.fromisoformat(first.pop("received_at")), datetime.fromisoformat(first.pop("since"))) == (
            T0,
            T0,
        )
        assert first.pop("sources") == {"logger-1": SOURCE | {"figures": {}}, "bureau": UPLINK}
        assert first == {
            "edge": "gate-1",
            "online": True,
            "version": "1.0",
            "outbox": 2,
            "oldest": 5,
            "dropped": 0,
            "agent_file": WELL,
            "hook": WELL,
        }
        assert (second["edge"], second["sources"], second["agent_file"], second["hook"]) == ("gate-2", {}, None, None)


async def test_edges_are_for_the_plant_itself_and_for_the_agency_of_its_region(database_url: str) -> None:
    async with an_api(database_url) as (rows, http):
        await rows.site("works", region="hebei")
        other_id = await rows.site("mill", region="yunnan")
        await put_edge_state(rows.conn, other_id, "gate-3", kept(PARTS), T0)

        async def edges_of_mill(headers: dict[str, str] | None) -> tuple[int, list[str]]:
            answer = await http.get("/v1/sites/mill/status", headers=headers)
            return answer.status_code, [edge["edge"] for edge in answer.json().get("edges", [])]

        assert await edges_of_mill(None) == (401, [])
        for outside in (
            await rows.token("operator", sites=["works"]),
            await rows.token("watch", regions=["hebei"]),
            await rows.token("safety", "maintainer", sites=["works"]),
        ):
            assert await edges_of_mill(outside) == (404, [])
        for inside in (
            await rows.token("operator", sites=["mill"]),
            await rows.token("watch", regions=["yunnan"]),
            await rows.token("auditor"),
        ):
            assert await edges_of_mill(inside) == (200, ["gate-3"])
        for path in ("/v1/sites", "/v1/sites/mill"):
            assert "gate-3" not in (await http.get(path)).text


async def test_since_is_when_an_edge_came_or_went_and_not_when_it_last_spoke(database_url: str) -> None:
    async with an_api(database_url) as (rows, http):
        site_id = await rows.site()
        operator = await rows.token("operator", sites=["works"])
        minute = timedelta(minutes=1)
        for place, (online, since) in enumerate([(True, 0), (True, 0), (False, 2), (False, 2), (True, 4)]):
            await put_edge_state(rows.conn, site_id, "gate", kept({}, online=online), T0 + place * minute)
            # Another ingestor is slower: what it still has to say is old.
            await put_edge_state(rows.conn, site_id, "gate", kept({}, online=not online), T0 - minute)
            (edge,) = (await http.get("/v1/sites/works/status", headers=operator)).json()["edges"]
            said = (edge["online"], datetime.fromisoformat(edge["since"]), datetime.fromisoformat(edge["received_at"]))
            assert said == (online, T0 + since * minute, T0 + place * minute)
