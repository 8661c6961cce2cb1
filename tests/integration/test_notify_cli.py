"""`notify list` and `notify test`: what an administrator sees at the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.http_receiver import an_http_receiver
from fakes.notified import Told, told_in
from store.pool import connect

pytestmark = pytest.mark.anyio


@pytest.fixture
async def told(database_url: str, tmp_path: Path) -> AsyncIterator[Told]:
    async with await connect(database_url, name="test", autocommit=True) as conn:
        yield await told_in(conn, database_url, tmp_path)


async def stackwatch(told: Told, *args: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); what delivers goes on meanwhile."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stackwatch", *args, "--database-url", told.settings.database_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**plain, "XDG_DATA_HOME": "/nonexistent"},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_test_is_taken_and_the_command_says_so(told: Told) -> None:
    async with an_http_receiver() as hook, told.telling():
        await told.webhook("desk", hook.url)
        code, out, err = await stackwatch(told, "notify", "test", "desk")
    assert code == 0, err
    assert out == f"desk took {hook.ids[0]}\n"
    assert hook.requests[0].json["type"] == "receiver.test"


async def test_a_test_that_is_not_taken_says_why_and_fails(told: Told) -> None:
    async with an_http_receiver(403) as hook, told.telling():
        await told.webhook("desk", hook.url)
        code, out, _ = await stackwatch(told, "notify", "test", "desk", "--wait", "3")
        listed = (await stackwatch(told, "notify", "list"))[1]
    assert (code, out) == (1, "not taken within 3 s: answered 403\n")
    assert listed.startswith("desk  webhook  http://127.0.0.1:")
    assert listed.endswith("failing  1 waiting  answered 403\n")


async def test_where_no_rule_stage_runs_the_command_says_so(told: Told) -> None:
    await told.webhook("desk", "https://desk.example/T0KEN")
    code, out, _ = await stackwatch(told, "notify", "test", "desk", "--wait", "1")
    assert (code, out) == (1, "not taken within 1 s: no rule stage delivers: is `stackwatch alerts` running?\n")


async def test_the_list_shows_no_secret_and_an_unknown_name_is_a_fault(told: Told) -> None:
    assert "nobody is told" in (await stackwatch(told, "notify", "list"))[1]
    await told.webhook("desk", "https://desk.example/T0KEN")
    code, out, _ = await stackwatch(told, "notify", "list", "--json")
    (row,) = json.loads(out)
    assert (code, row["name"], row["target"]["url"]) == (0, "desk", "https://desk.example/***")
    assert "T0KEN" not in out
    code, _, err = await stackwatch(told, "notify", "test", "nobody")
    assert code != 0
    assert "there is no receiver 'nobody'" in err
