"""The running hour on the operator's status: its bounds, whether it can be saved, and what to keep below."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api.app import create_app
from builders import WORKS, a_frame, a_pipe, minutes, settings
from store.pool import transaction
from store.principals import create_token

pytestmark = pytest.mark.anyio

RANGED = WORKS + "    [site.stack.channels.o2]\n    range = [14, 18]\n"


async def running_hour(database_url: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the status says of SO2 after *rows*, half past eight by the system's clock."""
    async with a_pipe(database_url, RANGED) as pipe:
        await pipe.publish(a_frame(rows))
        await pipe.tick("2026-11-10T08:30:00+08:00")
        async with transaction(pipe.pool) as conn:
            token, _ = await create_token(conn, name="foreman", roles=["operator"], sites=["works"])
        app = create_app(settings(database_url))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
        ):
            answer = await client.get("/v1/sites/works/status", headers={"Authorization": f"Bearer {token}"})
        found: dict[str, Any] = answer.json()["stacks"][0]["hour"]["so2"]
        return found


async def test_half_an_hour_above_can_be_saved_by_keeping_below_30(database_url: str) -> None:
    so2 = await running_hour(database_url, minutes("2026-11-10T08:00:00+08:00", 30, so2=40.0, o2=16.0))
    assert so2["corrected"] == 40.0
    assert so2["valid_minutes"] == 30
    assert so2["saveable"] is True
    assert so2["keep_below"] == pytest.approx(30.0)
    assert so2["bounds"]["low"] < 35 < so2["bounds"]["high"]


async def test_half_an_hour_far_above_is_lost(database_url: str) -> None:
    so2 = await running_hour(database_url, minutes("2026-11-10T08:00:00+08:00", 30, so2=150.0, o2=16.0))
    assert so2["saveable"] is False
    assert so2["keep_below"] is None
    assert so2["bounds"]["low"] > 35


async def test_before_the_first_row_everything_is_open(database_url: str) -> None:
    so2 = await running_hour(database_url, minutes("2026-11-10T07:00:00+08:00", 30, so2=40.0, o2=16.0))
    assert so2["valid_minutes"] is None
    assert so2["saveable"] is True
