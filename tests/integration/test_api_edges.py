"""What edges say of themselves, from their retained state to the operator's view of a site."""

from __future__ import annotations

import json
from datetime import datetime

import httpx
import pytest

from api.app import create_app
from fakes.api_rows import T0, rows_in
from ingestor.notes import _state
from plant import wire
from plant.settings import Settings
from store.intake import put_edge_state

pytestmark = pytest.mark.anyio

SOURCE = {"kind": "hj212.listen", "ok": False, "detail": "no logger", "tolerated": {"crc": 3}, "restarts": 2}
WELL = {"ok": True, "detail": "in use"}
PARTS = {"sources": {"logger-1": SOURCE}, "agent_file": WELL, "hook": WELL}


def kept(more: dict[str, object]) -> dict[str, object]:
    return _state(json.loads(wire.state_bytes(online=True, version="1.0", outbox=2, oldest_ms=5, more=more)))


async def test_the_operator_sees_what_each_edge_says_of_itself(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        site_id = await rows.site()
        other_id = await rows.site("mill")
        await put_edge_state(rows.conn, site_id, "gate-2", kept({}), T0)  # an older version: nothing of its parts
        await put_edge_state(rows.conn, site_id, "gate-1", kept(PARTS), T0)
        await put_edge_state(rows.conn, other_id, "gate-3", kept(PARTS), T0)
        operator = await rows.token("operator", sites=["works"])
        answer = await http.get("/v1/sites/works/status", headers=operator)
        assert answer.status_code == 200, answer.text
        first, second = answer.json()["edges"]
        assert datetime.fromisoformat(first.pop("received_at")) == T0
        assert (
            first
            == {"edge": "gate-1", "online": True, "version": "1.0", "outbox": 2, "oldest": 5, "dropped": 0} | PARTS
        )
        assert (second["edge"], second["sources"], second["agent_file"], second["hook"]) == ("gate-2", {}, None, None)
