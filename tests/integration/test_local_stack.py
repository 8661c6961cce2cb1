"""The supervisor over a real database and broker, with a small process in the place of ours."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from stackwatch.local import folder, mqtt_probe
from stackwatch.local.folder import FolderUnusable, NotRunning, read_run_file
from stackwatch.local.ports import LOOPBACK, NoPort
from stackwatch.local.processes import Identity, StartFailed, started
from stackwatch.local.supervisor import LocalStack

pytestmark = pytest.mark.anyio

#: Says that all is well, to whoever asks on the port it was given.
_HEALTHY = """
import http.server, os
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["STACKWATCH_DATABASE_URL"].encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["STACKWATCH_HTTP_PORT"])), Health).serve_forever()
"""
_IDLE = "import time; time.sleep(3600)"
PROCESSES = {
    "worker": [sys.executable, "-c", _IDLE],
    "api": [sys.executable, "-c", _HEALTHY],
}

#: A whole `up` of its own, to be killed.
_UP = f"""
import asyncio, sys
from pathlib import Path
from stackwatch.local.supervisor import LocalStack
async def main():
    async with LocalStack(Path(sys.argv[1]), http_port=None, mqtt_port=None, mqtt_auth=False,
                          processes={PROCESSES!r}) as stack:
        await stack.wait_healthy(60)
        print("healthy", flush=True)
        await stack.wait()
asyncio.run(main())
"""


@pytest.fixture
def new_folder() -> Iterator[Callable[[], Path]]:
    """Makes data folders that an unprivileged user can be let into."""
    made: list[Path] = []

    def make() -> Path:
        made.append(folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-"))))
        return made[-1]

    yield make
    for path in made:
        folder.remove(path)


@pytest.fixture
def data(new_folder: Callable[[], Path]) -> Path:
    return new_folder()


@asynccontextmanager
async def up(data: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(data, http_port=None, mqtt_port=None, mqtt_auth=False, processes=PROCESSES) as stack:
        await stack.wait_healthy(60)
        yield stack


@asynccontextmanager
async def up_elsewhere(data: Path) -> AsyncIterator[subprocess.Popen[str]]:
    """An `up` in a process of its own."""
    argv = [sys.executable, "-c", _UP, str(data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - to be killed
        try:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "healthy\n"
            yield process
        finally:
            process.kill()


async def until(condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.05)


async def until_broker_answers(stack: LocalStack) -> None:
    async with asyncio.timeout(60):
        while not await mqtt_probe.answers(LOOPBACK, port_of(stack.mqtt_url)):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


def running_on(data: Path) -> dict[int, str]:
    """Processes that work in the data folder or its database, by asking the system rather than the code under test."""
    places = (str(data), str((data / "postgres").resolve()))
    found = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            place = os.readlink(f"/proc/{pid}/cwd")
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if place.startswith(places):
            found[pid] = name
    return found


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def answers(url: str) -> bool:
    try:
        return query(url, "SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_everything_runs_inside_and_nothing_after(data: Path) -> None:
    async with up(data) as stack:
        assert set(stack.processes()) == {"postgres", "broker", "worker", "api"}
        assert query(stack.database_url, "SELECT count(*) > 0 FROM schema_migration") == [(True,)]
        assert await mqtt_probe.answers(LOOPBACK, port_of(stack.mqtt_url))
        run = read_run_file(data)
        assert (run.database_url, run.mqtt_url, run.http_url) == (stack.database_url, stack.mqtt_url, stack.http_url)
        assert len(running_on(data)) > 4
    assert running_on(data) == {}
    with pytest.raises(NotRunning):
        read_run_file(data)


async def test_the_caller_prepares_between_migration_and_the_first_process(data: Path) -> None:
    seen: list[object] = []

    async def prepare(stack: LocalStack) -> None:
        seen.append(query(stack.database_url, "SELECT count(*) FROM site"))
        seen.append(set(stack.processes()))

    async with LocalStack(data, processes=PROCESSES, prepare=prepare):
        pass
    assert seen == [[(0,)], {"postgres", "broker"}]


async def test_processes_get_the_settings_of_this_stack_and_none_of_the_callers(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWATCH_BATCH_KB", "7")
    show = "import os\nfor k, v in os.environ.items():\n    if k.startswith('STACKWATCH_'): print(k, v)\nimport time\n"
    process = {"worker": [sys.executable, "-u", "-c", f"{show}print('done')\n{_IDLE}"]}
    log = data / "logs" / "worker.log"
    async with LocalStack(data, processes=process, settings_env={"STACKWATCH_TICK_S": "0.5"}) as stack:
        await until(lambda: log.exists() and "done" in log.read_text())
        got = dict(line.split(" ", 1) for line in log.read_text().splitlines() if " " in line)
        assert got == {
            "STACKWATCH_DATABASE_URL": stack.database_url,
            "STACKWATCH_MQTT_URL": stack.mqtt_url,
            "STACKWATCH_HTTP_HOST": "127.0.0.1",
            "STACKWATCH_HTTP_PORT": str(port_of(stack.http_url)),
            "STACKWATCH_ORDER_KEY_FILE": str(data / "keys" / "order.pem"),
            "STACKWATCH_ORDER_PUBLIC_KEY": stack.order_public_key,
            "STACKWATCH_SECRETS_KEY_FILE": str(data / "keys" / "secrets.key"),
            "STACKWATCH_TICK_S": "0.5",
        }


@pytest.mark.parametrize("name", ["postgres", "broker", "worker", "api"])
async def test_whoever_is_killed_is_back_on_the_same_address_with_the_same_data(data: Path, name: str) -> None:
    async with up(data) as stack:
        query(stack.database_url, "CREATE TABLE kept AS SELECT 1 AS one")
        urls = (stack.database_url, stack.mqtt_url, stack.http_url)
        killed = stack.processes()[name]
        os.kill(killed.pid, signal.SIGKILL)
        await until(lambda: stack.processes().get(name, killed) != killed)
        await until(lambda: answers(stack.database_url))
        assert query(stack.database_url, "SELECT one FROM kept") == [(1,)]
        await stack.wait_healthy(60)
        await until_broker_answers(stack)
        assert (stack.database_url, stack.mqtt_url, stack.http_url) == urls
        await until(lambda: read_run_file(data).processes[name] == stack.processes()[name])
    assert running_on(data) == {}


async def test_a_process_that_always_dies_is_tried_again_and_harms_nobody(data: Path) -> None:
    processes = {**PROCESSES, "broken": [sys.executable, "-c", "print('tried', flush=True); raise SystemExit(1)"]}
    log = data / "logs" / "broken.log"
    async with LocalStack(data, processes=processes) as stack:
        await until(lambda: log.exists() and log.read_text().count("tried") >= 3)
        await stack.wait_healthy(60)
    assert running_on(data) == {}


async def test_an_unhealthy_stack_says_what_was_wrong(data: Path) -> None:
    processes = {"api": [sys.executable, "-c", f"print('no room left', flush=True); {_IDLE}"]}
    async with LocalStack(data, processes=processes) as stack:
        await until(lambda: "no room left" in (data / "logs" / "api.log").read_text())
        with pytest.raises(StartFailed, match=r"(?s)not healthy after 1 s: no answer.*no room left"):
            await stack.wait_healthy(1)


async def test_killing_the_supervisor_ends_its_children(data: Path) -> None:
    async with up_elsewhere(data) as process:
        assert len(running_on(data)) > 4
        process.kill()
        await until(lambda: running_on(data) == {}, 20)
    with pytest.raises(NotRunning):
        read_run_file(data)


@pytest.mark.parametrize("everything", [False, True], ids=["the_supervisor_only", "everything_at_once"])
async def test_a_killed_stack_starts_again_on_its_folder_at_once(data: Path, everything: bool) -> None:
    async with up_elsewhere(data) as process:
        before = read_run_file(data)
        query(before.database_url, "CREATE TABLE kept AS SELECT 1 AS one")
        victims = [process.pid, *running_on(data)] if everything else [process.pid]
        for pid in victims:
            with suppress(ProcessLookupError):  # the kernel was faster: its supervisor is dead
                os.kill(pid, signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        async with up(data) as stack:
            assert time.monotonic() - began < 60
            assert (stack.database_url, stack.mqtt_url, stack.http_url) == (
                before.database_url,
                before.mqtt_url,
                before.http_url,
            )
            assert query(stack.database_url, "SELECT one FROM kept") == [(1,)]
            assert not any(identity.alive() for identity in before.processes.values())
    assert running_on(data) == {}


async def test_children_that_outlived_their_supervisor_are_ended_at_the_next_start(data: Path) -> None:
    """As where the kernel cannot end them: a process of the last run's list is still there."""
    async with up(data):
        pass
    with subprocess.Popen([sys.executable, "-c", _IDLE], cwd=data) as orphan:  # noqa: ASYNC220 - to be ended
        left = Identity(orphan.pid, started(orphan.pid) or "")
        recorded = folder.RunFile(supervisor=Identity(orphan.pid, "gone"), processes={"worker": left})
        folder.DataFolder(data).write_run_file(recorded)
        async with up(data):
            assert orphan.wait(10) == -signal.SIGTERM


async def test_a_second_stack_on_one_folder_is_refused_and_the_first_goes_on(data: Path) -> None:
    async with up(data) as stack:
        with pytest.raises(FolderUnusable, match=f"another stackwatch .pid {os.getpid()}. runs on"):
            await LocalStack(data, processes=PROCESSES).__aenter__()
        await stack.wait_healthy(10)
        assert read_run_file(data).database_url == stack.database_url


async def test_two_stacks_side_by_side_share_nothing(new_folder: Callable[[], Path]) -> None:
    one, other = new_folder(), new_folder()
    async with up_elsewhere(one), up_elsewhere(other):
        runs = [read_run_file(one), read_run_file(other)]
        assert len({port for run in runs for port in run.ports.values()}) == 8
        assert all(answers(run.database_url) for run in runs)
    await until(lambda: not running_on(one) and not running_on(other), 20)


async def test_cancelling_the_start_leaves_nothing(data: Path) -> None:
    reached = asyncio.Event()

    async def prepare(_: LocalStack) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def start() -> None:
        async with LocalStack(data, processes=PROCESSES, prepare=prepare):
            raise AssertionError("the hook never ends")

    task = asyncio.create_task(start(), name="start")
    async with asyncio.timeout(60):
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running_on(data) == {}


async def test_cancelling_the_end_again_and_again_does_not_cut_it_short(data: Path) -> None:
    inside = asyncio.Event()

    async def run() -> None:
        async with up(data) as stack:
            inside.set()
            await stack.wait()

    task = asyncio.create_task(run(), name="run")
    async with asyncio.timeout(60):
        await inside.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0.01)
    assert task.cancelled()
    assert running_on(data) == {}


async def test_a_failing_preparation_is_told_and_leaves_nothing(data: Path) -> None:
    async def prepare(_: LocalStack) -> None:
        raise StartFailed("the register is wrong")

    with pytest.raises(StartFailed, match="the register is wrong"):
        await LocalStack(data, processes=PROCESSES, prepare=prepare).__aenter__()
    assert running_on(data) == {}


async def test_a_port_asked_for_is_used_or_the_start_is_refused(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NoPort, match=str(port)):
            await LocalStack(data, http_port=port, processes=PROCESSES).__aenter__()
    async with LocalStack(data, http_port=port, processes=PROCESSES) as stack:
        assert port_of(stack.http_url) == port
        await stack.wait_healthy(60)


async def test_sites_get_their_own_access_where_asked_for(data: Path) -> None:
    async def prepare(stack: LocalStack) -> None:
        await stack.set_sites(["tangshan-1"])

    async with LocalStack(data, mqtt_auth=True, processes=PROCESSES, prepare=prepare) as stack:
        port, password = port_of(stack.mqtt_url), stack.site_password("tangshan-1")
        assert await mqtt_probe.answers(LOOPBACK, port, user="tangshan-1", password=password)
        assert not await mqtt_probe.answers(LOOPBACK, port)
