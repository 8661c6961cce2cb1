"""`stackwatch edge` on a real broker: live sources, reload, orders with their hook, the status page, its memory."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge import sources
from edge.serve import serve
from edge.sources import Context, Feed, Kind, Source
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant import topics
from plant.errors import Unavailable
from plant.reading import Reader
from plant.settings import Settings
from stackwatch.local.ports import Ports

pytestmark = pytest.mark.anyio

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SITE, EDGE = "works-1", "gateway-1"
AT_MS: Final = 1_795_161_600_000


class Ticking:
    """`[[ticking]]`: a row whenever it is asked, and trouble on demand."""

    kind = "ticking"
    running: Final[dict[str, Ticking]] = {}

    def __init__(self, name: str, stack: str, trouble: str) -> None:
        self.name = name
        self.stack = stack
        self.trouble = trouble
        self.runs = 0
        self._asked: asyncio.Queue[int] = asyncio.Queue(100)

    async def run(self, feed: Feed) -> None:
        self.runs += 1
        Ticking.running[self.name] = self
        if self.trouble == "away":
            raise Unavailable("the device does not answer")
        if self.trouble == "fault":
            raise ZeroDivisionError("a fault of the source")
        while True:
            n = await self._asked.get()
            row = {"stack": self.stack, "sampled_at": AT_MS + n * 1000, "so2": float(n)}
            assert await feed.put([row], at_once=True)

    def state(self) -> Mapping[str, Any]:
        return {"ok": True, "detail": f"stack {self.stack}", "tolerated": {"odd": 3}}

    def tick(self, n: int) -> None:
        self._asked.put_nowait(n)


def read_source(table: Reader, context: Context) -> Source | None:
    return Ticking(context.name, table.identifier("stack"), table.text("trouble", "none"))


@pytest.fixture(autouse=True)
def _ticking_is_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    module = __name__
    monkeypatch.setitem(sys.modules, "ticking_for_tests", sys.modules[module])
    monkeypatch.setattr(sources, "KINDS", {**sources.KINDS, "ticking": Kind("ticking_for_tests:read_source", "edge")})
    Ticking.running.clear()


def an_agent(folder: Path, *tables: str, top: str = "") -> Path:
    file = folder / "edge.toml"
    file.write_text(f'site = "{SITE}"\nedge = "{EDGE}"\n{top}\n' + "\n".join(tables), encoding="utf-8")
    return file


def a_ticking(name: str, stack: str = "DA001", trouble: str = "none") -> str:
    return f'[[ticking]]\nname = "{name}"\nstack = "{stack}"\ntrouble = "{trouble}"\n'


@asynccontextmanager
async def serving(settings: Settings, file: Path) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(serve(settings, file), name="edge")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=30)
        assert task.cancelled()


def said_of_sources(system: ReceiptingIngestor) -> dict[str, Any]:
    return dict(system.states[-1].get("sources", {})) if system.states else {}


async def test_one_source_in_trouble_never_stops_the_others_and_the_state_says_which(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    file = an_agent(tmp_path, a_ticking("well"), a_ticking("gone", trouble="away"), a_ticking("mad", trouble="fault"))
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        async with serving(settings, file):
            await until(lambda: len(Ticking.running) == 3)
            for n in range(3):
                Ticking.running["well"].tick(n)
                await until(lambda n=n: ("DA001", AT_MS + n * 1000) in system.rows)  # type: ignore[misc]
            await until(lambda: not said_of_sources(system).get("mad", {"ok": True})["ok"])
            await until(lambda: Ticking.running["gone"].runs >= 2)
            state = system.states[-1]
            assert state["sources"]["well"] == {
                "kind": "ticking",
                "ok": True,
                "detail": "stack DA001",
                "tolerated": {"odd": 3},
                "restarts": 0,
            }
            assert state["sources"]["mad"]["detail"].startswith("ZeroDivisionError: a fault of the source; again in")
            assert state["agent_file"] == {"ok": True, "detail": "in use"}
            assert Ticking.running["mad"].runs == 1
        await until(lambda: system.states[-1]["online"] is False)


async def test_a_changed_agent_file_takes_over_without_a_break_and_a_broken_one_changes_nothing(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    file = an_agent(tmp_path, a_ticking("stays"), a_ticking("goes", "DA002"))
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        async with serving(settings, file):
            await until(lambda: len(Ticking.running) == 2)
            stays = Ticking.running["stays"]
            stays.tick(1)
            await until(lambda: ("DA001", AT_MS + 1000) in system.rows)
            session = next(iter(system.frames))

            an_agent(tmp_path, a_ticking("stays"), '[[ticking]]\nname = "broken"\n')
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: system.states[-1]["agent_file"]["ok"] is False)
            assert "ticking[1].stack" in system.states[-1]["agent_file"]["detail"]
            assert set(said_of_sources(system)) == {"stays", "goes"}
            Ticking.running["goes"].tick(2)
            await until(lambda: ("DA002", AT_MS + 2000) in system.rows)

            an_agent(tmp_path, a_ticking("stays"), a_ticking("comes", "DA003"))  # noticed without a signal too
            await until(lambda: set(said_of_sources(system)) == {"stays", "comes"})
            await until(lambda: "comes" in Ticking.running)
            assert system.states[-1]["agent_file"]["ok"] is True
            Ticking.running["comes"].tick(3)
            stays.tick(4)
            await until(lambda: {("DA003", AT_MS + 3000), ("DA001", AT_MS + 4000)} <= set(system.rows))
            assert (stays.runs, Ticking.running["stays"]) == (1, stays)
        assert list(system.frames) == [session]


def a_list(version: int, *orders: str) -> bytes:
    listed = [
        {
            "order_id": order_id,
            "case": "c-1",
            "order": "suspend",
            "units": [{"unit": "S1", "mode": "stop", "value": None}],
            "effective_from": "2026-11-21T00:00:00Z",
            "safe_state_by": None,
            "until": None,
            "basis": "fictional",
            "text": "停产",
        }
        for order_id in orders
    ]
    body = json.dumps({"site": SITE, "version": version, "issued_at": "2026-11-21T00:00:00Z", "orders": listed})
    signature = base64.b64encode(KEY.sign(body.encode())).decode()
    return json.dumps({"body": body, "key_id": "k", "signature": signature}).encode()


def fetched(port: int, path: str = "/status.json") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


async def status_at(port: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await asyncio.to_thread(fetched, port))
    return document


async def test_an_order_is_shown_on_the_page_and_told_to_the_hook_once_over_a_restart(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    program = tmp_path / "tell"
    program.write_text(f"#!/bin/sh\ncat >> {told}\n")
    program.chmod(0o755)
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root, order_public_key=public)
    topic = topics.orders(topic_root, SITE)
    with Ports() as ports, ReceiptingIngestor(mqtt_url, topic_root) as system:
        port = ports.take(27_310)
        top = f'[status]\nport = {port}\n[hook]\ncommand = ["./tell"]\n'
        file = an_agent(tmp_path, a_ticking("a"), top=top)
        system.publish(topic, a_list(1, "o-1"))
        async with serving(settings, file):
            await until(lambda: told.exists() and told.read_text().endswith("\n"))
            await until(lambda: (tmp_path / "outbox" / f"{SITE}.{EDGE}.hook.json").exists())
            await asyncio.to_thread(system.publish, topic, b'{"body": "{}", "signature": ""}')
            Ticking.running["a"].tick(1)
            await until(lambda: len(system.rows) == 1)
            status = await status_at(port)
            assert [order["order_id"] for order in status["orders"]["in_force"]] == ["o-1"]
            assert status["link"]["connected"] is True
            assert status["sources"]["a"]["detail"] == "stack DA001"
            page = await asyncio.to_thread(fetched, port, "/?lang=zh")
            assert "停产" in page
            assert "o-1" in page
        await asyncio.to_thread(system.publish, topic, a_list(1, "o-1"))
        async with serving(settings, file):
            await until(lambda: bool(Ticking.running))
            await asyncio.to_thread(system.publish, topic, a_list(2, "o-1", "o-2"))
            await until(lambda: len(told.read_text().splitlines()) == 2)
            await until(lambda: len(system.acks) >= 2)
    calls = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(call["event"], call["order"]["order_id"]) for call in calls] == [("in_force", "o-1"), ("in_force", "o-2")]


async def test_a_port_that_is_taken_costs_the_page_and_not_the_data(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    file = an_agent(tmp_path, a_ticking("a"), top=f"[status]\nport = {port}\n")
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        async with serving(settings, file):
            await until(lambda: bool(Ticking.running))
            Ticking.running["a"].tick(1)
            await until(lambda: len(system.rows) == 1)
            taken.close()
            await taken.wait_closed()

            async def page_is_there() -> bool:
                try:
                    return bool((await status_at(port))["site"] == SITE)
                except OSError:
                    return False

            async with asyncio.timeout(30):
                while not await page_is_there():  # noqa: ASYNC110  # a port sets no event
                    await asyncio.sleep(0.1)
