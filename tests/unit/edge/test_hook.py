from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge import hook as hooks
from edge.hook import Hook, HookFailed, OrderHook, call, news
from edge.orders import OrderList
from fakes.polling import until

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
_KEEP = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('ab').write(sys.stdin.buffer.read())"


def a_list(version: int, orders: Mapping[str, str]) -> OrderList:
    """Order ids with their texts."""
    body = {
        "site": "s",
        "version": version,
        "issued_at": "2026-11-21T00:00:00Z",
        "orders": [{"order_id": order_id, "order": "suspend", "text": text} for order_id, text in orders.items()],
    }
    return OrderList(site="s", version=version, issued_at="2026-11-21T00:00:00Z", body=json.dumps(body))


def a_hook(folder: Path, program: str = _KEEP, *, deadline_s: float = 20.0) -> Hook:
    command = (sys.executable, "-c", program, str(folder / "told"))
    return Hook(command=command, folder=folder, deadline_s=deadline_s)


def told(folder: Path) -> list[dict[str, Any]]:
    path = folder / "told"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def events(folder: Path) -> list[tuple[str, str]]:
    return [(one["event"], one["order"]["order_id"]) for one in told(folder)]


def an_order_hook(folder: Path, hook: Hook | None) -> OrderHook:
    return OrderHook(folder / "hook.json", rng=Random(1), hook=hook, now=lambda: NOW)


class Running:
    def __init__(self, hook: OrderHook) -> None:
        self.hook = hook

    async def __aenter__(self) -> OrderHook:
        self._task = asyncio.create_task(self.hook.run(), name="hook")
        return self.hook

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=10)
        assert self._task.cancelled()


def test_what_is_news_is_each_order_that_came_changed_or_went() -> None:
    first = a_list(1, {"o-1": "停产", "o-2": "restrict"})
    came = news({}, first)
    assert [(notice.event, notice.order_id) for notice in came] == [("in_force", "o-1"), ("in_force", "o-2")]
    known = {notice.order_id: notice.digest for notice in came}
    assert news(known, replace(first, version=2)) == []
    later = news(known, a_list(3, {"o-1": "停产 until Friday", "o-3": "new"}))
    assert [(n.event, n.order_id) for n in later] == [("changed", "o-1"), ("in_force", "o-3"), ("ended", "o-2")]
    assert news(known, OrderList(site="s", version=0))[0].event == "ended"


async def test_the_command_gets_one_order_as_json_and_none_of_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWATCH_MQTT_URL", "mqtt://user:secret@broker")
    program = (
        "import sys, os, json, pathlib; order = json.load(sys.stdin); "
        "order['env'] = [n for n in os.environ if n.startswith('STACKWATCH_')]; order['cwd'] = os.getcwd(); "
        "pathlib.Path(sys.argv[1]).write_text(json.dumps(order))"
    )
    (notice,) = news({}, a_list(7, {"o-1": "停产 \ud800"}))
    await call(a_hook(tmp_path, program), notice)
    (document,) = told(tmp_path)
    assert document["order"]["text"] == "停产 \ud800"
    assert (document["event"], document["site"], document["version"]) == ("in_force", "s", 7)
    assert (document["env"], document["cwd"]) == ([], str(tmp_path))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param("import sys; sys.exit(3)", "ended with 3", id="bad_end"),
        pytest.param("import time; time.sleep(600)", "took longer than 0.5 s and was ended", id="too_long"),
        pytest.param("import os; os.close(0); import time; time.sleep(600)", "took longer", id="reads_nothing"),
    ],
)
async def test_a_command_that_does_not_end_well_in_time_has_failed(tmp_path: Path, program: str, said: str) -> None:
    (notice,) = news({}, a_list(1, {"o-1": "x" * 1_000_000}))
    hook = a_hook(tmp_path, program, deadline_s=0.5 if "sleep" in program else 20.0)
    async with asyncio.timeout(15):
        with pytest.raises(HookFailed, match=said):
            await call(hook, notice)


async def test_a_command_that_cannot_be_run_has_failed(tmp_path: Path) -> None:
    (notice,) = news({}, a_list(1, {"o-1": "x"}))
    with pytest.raises(HookFailed, match="cannot be run"):
        await call(Hook(command=(str(tmp_path / "nothing"),), folder=tmp_path), notice)


async def test_what_the_command_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(600)"
    )
    (notice,) = news({}, a_list(1, {"o-1": "x"}))
    with pytest.raises(HookFailed):
        await call(a_hook(tmp_path, program, deadline_s=2.0), notice)
    status = Path(f"/proc/{(tmp_path / 'told').read_text()}/stat")
    await until(lambda: not status.exists() or ") Z " in status.read_text())


async def test_each_order_is_told_once_and_a_restart_repeats_nothing(tmp_path: Path) -> None:
    async with Running(an_order_hook(tmp_path, a_hook(tmp_path))) as hook:
        hook.orders_came(a_list(1, {"o-1": "a"}))
        await until(lambda: hook.state()["calls"] == 1 and hook.state()["last"] is not None)
        hook.orders_came(a_list(2, {"o-1": "a", "o-2": "b"}))
        await until(lambda: (hook.state()["last"] or {}).get("order_id") == "o-2")
    async with Running(an_order_hook(tmp_path, a_hook(tmp_path))) as hook:
        hook.orders_came(a_list(2, {"o-1": "a", "o-2": "b"}))
        hook.orders_came(a_list(3, {"o-2": "b, changed"}))
        await until(lambda: len(events(tmp_path)) == 4)
        await until(lambda: (hook.state()["last"] or {}).get("order_id") == "o-1")
        assert hook.state() == {
            "ok": True,
            "detail": "ended o-1: done",
            "calls": 2,
            "failures": 0,
            "last": {"ok": True, "order_id": "o-1", "event": "ended", "at": "2026-11-21T08:00:00Z", "detail": "done"},
        }
    assert events(tmp_path) == [("in_force", "o-1"), ("in_force", "o-2"), ("changed", "o-2"), ("ended", "o-1")]


async def test_a_command_that_fails_is_tried_again_a_few_times_and_then_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_RETRY_FIRST_S", 0.01)
    async with Running(an_order_hook(tmp_path, a_hook(tmp_path, "import sys; sys.exit(9)"))) as hook:
        hook.orders_came(a_list(1, {"o-1": "a"}))
        await until(lambda: hook.state()["last"] is not None)
        state = hook.state()
        assert (state["ok"], state["calls"], state["failures"]) == (False, 3, 3)
        assert state["last"]["detail"] == "ended with 9"
    async with Running(an_order_hook(tmp_path, a_hook(tmp_path))) as hook:
        hook.orders_came(a_list(1, {"o-1": "a"}))
        hook.orders_came(a_list(2, {"o-1": "a", "o-2": "b"}))
        await until(lambda: len(events(tmp_path)) == 1)
    assert events(tmp_path) == [("in_force", "o-2")]  # o-1 was shown as failed and is not repeated for ever


async def test_a_hook_given_later_tells_what_is_in_force(tmp_path: Path) -> None:
    async with Running(an_order_hook(tmp_path, None)) as hook:
        hook.orders_came(a_list(4, {"o-1": "a"}))
        hook.replace(a_hook(tmp_path))
        await until(lambda: events(tmp_path) == [("in_force", "o-1")])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"told": 3}', "\x00", "[" * 10_000])
async def test_a_memory_that_cannot_be_read_is_begun_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "hook.json").write_text(text)
    async with Running(an_order_hook(tmp_path, a_hook(tmp_path))) as hook:
        hook.orders_came(a_list(1, {"o-1": "a"}))
        await until(lambda: len(events(tmp_path)) == 1)
