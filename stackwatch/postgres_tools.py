"""pg_dump and pg_restore: which one fits, and running it with its data on a pipe.

A pg_dump reads servers up to its own major version, and a pg_restore archives up to its own. Of those that can, the
oldest is taken: a newer one writes settings that the server may not know.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from plant.errors import PlantError
from plant.settings import PREFIX

BLOCK: Final = 1 << 20
_STOP_S: Final = 10.0
_VERSION_S: Final = 30.0
_LAST_WORDS: Final = 4_000
_DEBIAN: Final = Path("/usr/lib/postgresql")


class NoTool(PlantError):
    """No pg_dump or pg_restore of the right version is on this machine. The text says which is wanted."""


class ToolFailed(PlantError):
    """pg_dump or pg_restore ended with an error; the text ends with its last words."""


def tool(name: str, least: int) -> tuple[Path, int]:
    """The program *name* of the oldest PostgreSQL from major version *least* on, and its version."""
    found = sorted((major, path) for path in _candidates(name) if (major := _major(path)) is not None)
    for major, path in found:
        if major >= least:
            return path, major
    there = ", ".join(str(major) for major, _ in found) or "none"
    raise NoTool(
        f"{name} of PostgreSQL {least} or newer is needed; found: {there}. "
        f"Install postgresql-client-{least}, or put its programs on PATH"
    )


def folders() -> Iterable[Path]:
    """Where programs of PostgreSQL lie on this machine: the embedded ones, Debian's, those on PATH."""
    with suppress(ImportError, PlantError):
        from stackwatch.local import binaries

        yield from (install.root / "bin" for install in binaries.postgres_installs())
    if _DEBIAN.is_dir():
        yield from (path / "bin" for path in _DEBIAN.iterdir())
    for name in os.environ.get("PATH", "").split(os.pathsep):
        if name:
            yield Path(name)


async def read_from(
    program: Path, arguments: Sequence[str], database_url: str, take: Callable[[bytes], Awaitable[object]]
) -> None:
    """Run *program* on the database and hand everything it writes to *take*."""
    async with _running(program, arguments, database_url, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        while block := await process.stdout.read(BLOCK):
            await take(block)


async def write_to(
    program: Path, arguments: Sequence[str], database_url: str, give: Callable[[], Awaitable[bytes]]
) -> None:
    """Run *program* on the database with everything that *give* gives, until it gives nothing."""
    async with _running(program, arguments, database_url, stdin=asyncio.subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended first: its last words say why
            while block := await give():
                process.stdin.write(block)
                await process.stdin.drain()
        process.stdin.close()


@asynccontextmanager
async def _running(
    program: Path, arguments: Sequence[str], database_url: str, *, stdin: int | None = None, stdout: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    conninfo, environ = _login(database_url)
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        f"--dbname={conninfo}",
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.DEVNULL if stdout is None else stdout,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        limit=4 * BLOCK,
    )
    words = asyncio.create_task(_last_words(process), name=f"{program.name}: stderr")
    try:
        yield process
        said = await words
        code = await process.wait()
        if code != 0:
            raise ToolFailed(f"{program.name} ended with {code}: {said or 'it said nothing'}")
    finally:
        await _end(process)
        words.cancel()
        with suppress(asyncio.CancelledError):
            await words


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while block := await process.stderr.read(_LAST_WORDS):
        said = (said + block)[-_LAST_WORDS:]
    return said.decode(errors="replace").strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _login(database_url: str) -> tuple[str, dict[str, str]]:
    """The connection without its password, and the environment with it: arguments are for everybody to see."""
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
    password = parts.pop("password", None)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environ = {**inherited, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
    if password is not None:
        environ["PGPASSWORD"] = password
    return make_conninfo(**parts), environ


def _candidates(name: str) -> list[Path]:
    found = (shutil.which(name, path=str(folder)) for folder in folders())
    return list(dict.fromkeys(Path(path) for path in found if path is not None))


def _major(program: Path) -> int | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=_VERSION_S)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)", done.stdout)
    return None if match is None else int(match[1])
