from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwatch import postgres_tools
from stackwatch.postgres_tools import NoTool, ToolFailed

pytestmark = pytest.mark.anyio

URL = "postgresql://somebody:hidden@127.0.0.1:1/name"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes programs, which alone are found."""
    folders: list[Path] = []
    monkeypatch.setattr(postgres_tools, "folders", lambda: folders)

    def make(version: str, script: str = "") -> Path:
        path = tmp_path / version / "pg_dump"
        path.parent.mkdir()
        said = f"pg_dump (PostgreSQL) {version}"
        path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{said}"; exit; fi\n{script}\n')
        path.chmod(0o755)
        folders.append(path.parent)
        return path

    return make


def test_the_oldest_program_that_can_is_taken(program: Callable[..., Path]) -> None:
    made = {version: program(version) for version in ("18.4", "15.18", "16.14")}
    assert postgres_tools.tool("pg_dump", 15) == (made["15.18"], 15)
    assert postgres_tools.tool("pg_dump", 16) == (made["16.14"], 16)
    assert postgres_tools.tool("pg_dump", 17) == (made["18.4"], 18)


def test_without_one_it_says_which_is_wanted_and_what_there_is(program: Callable[..., Path]) -> None:
    program("15.18")
    with pytest.raises(NoTool, match=r"PostgreSQL 17 or newer is needed; found: 15. Install postgresql-client-17"):
        postgres_tools.tool("pg_dump", 17)


async def test_the_password_is_in_the_environment_and_not_among_the_arguments(program: Callable[..., Path]) -> None:
    path = program("18.4", 'echo "$@"; echo "$PGPASSWORD"')
    said = b""

    async def take(block: bytes) -> None:
        nonlocal said
        said += block

    await postgres_tools.read_from(path, ["--format=custom"], URL, take)
    arguments, password = said.decode().splitlines()
    assert password == "hidden"
    assert "hidden" not in arguments
    assert "host=127.0.0.1" in arguments


async def test_a_program_that_fails_ends_with_its_last_words(program: Callable[..., Path]) -> None:
    path = program("18.4", "echo 'it hurts' >&2; exit 3")

    async def give() -> bytes:
        return b"x" * 1_000_000  # for ever, to a program that has ended

    with pytest.raises(ToolFailed, match="pg_dump ended with 3: it hurts"):
        await asyncio.wait_for(postgres_tools.write_to(path, [], URL, give), 30)


async def test_a_program_ends_with_the_command_that_started_it(program: Callable[..., Path], tmp_path: Path) -> None:
    path = program("18.4", f"echo $$ > {tmp_path}/pid; echo; exec sleep 600")
    began = asyncio.Event()

    async def take(_: bytes) -> None:
        began.set()

    task = asyncio.create_task(postgres_tools.read_from(path, [], URL, take), name="read")
    await asyncio.wait_for(began.wait(), 30)
    pid = int((tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
