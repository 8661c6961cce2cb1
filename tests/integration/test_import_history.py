"""`stackwatch import`: history without a broker ends like history that came over it."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import GAS_TURBINE, POWER, WORKS, Pipe, a_frame, a_pipe, gas_turbine_nox
from ingestor.bulk import EDGE
from ingestor.intake import Intake
from plant.errors import BadDocument, NotFound
from stackwatch.commands import import_history as command
from stackwatch.commands.traces import TraceOptions
from store.books import list_books
from store.pool import transaction
from store.scope import EVERYWHERE

pytestmark = pytest.mark.anyio

FIRST_HOUR = "2025-01-01T00:00:00+08:00"
START = datetime.fromisoformat(FIRST_HOUR).astimezone(UTC)
LATER = "2026-11-20T00:00:00Z"


async def imported(file: Path, database_url: str, capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, Any]:
    """Import the gas turbine, or another file by *changes*; what the command says for programs."""
    arguments: dict[str, Any] = {
        "site": "power",
        "stack": "GT",
        "mapping": ["NOX=nox", "CO=co"],
        "start": FIRST_HOUR,
        "step": "1h",
        "instrument": None,
    }
    arguments |= changes
    trace = {name: arguments.pop(name) for name in ("mapping", "start", "step", "instrument")}
    arguments["trace"] = TraceOptions(**trace)
    capsys.readouterr()
    await command.import_history(file, **arguments, database_url=database_url, data=None, as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


async def answers(pipe: Pipe) -> list[list[tuple[Any, ...]]]:
    """What the judging makes of the rows, without what names how they came."""
    return [
        await pipe.rows(
            "SELECT start, pollutant, pack, verdict, corrected, reason FROM hour_verdict"
            " WHERE superseded_at IS NULL ORDER BY 1, 2, 3"
        ),
        await pipe.rows(
            "SELECT month, pollutant, pack, verdict, share, hours_valid FROM month_verdict"
            " WHERE superseded_at IS NULL ORDER BY 1, 2, 3"
        ),
        await pipe.rows("SELECT alert_id, state, observed FROM alert ORDER BY 1"),
    ]


async def until(pipe: Pipe, question: str) -> None:
    async with asyncio.timeout(60):
        while not (await pipe.rows(question))[0][0]:  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


async def books(pipe: Pipe) -> dict[str, int]:
    async with transaction(pipe.pool) as conn:
        lines = await list_books(conn, EVERYWHERE, edge=EDGE, limit=100_000)
    names = ("published", "stored", "duplicate", "conflict", "quarantined", "unexplained", "in_flight", "dropped")
    return {name: sum(line[name] for line in lines) for name in names}


async def test_an_imported_year_is_judged_like_one_that_was_published(
    postgres_url_factory: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    nox = gas_turbine_nox()
    with GAS_TURBINE.open(newline="") as file:
        co = [float(row["CO"]) for row in csv.DictReader(file)]
    rows = [
        {"stack": "GT", "sampled_at": (START + timedelta(hours=i)).isoformat(), "nox": n, "co": c}
        for i, (n, c) in enumerate(zip(nox, co, strict=True))
    ]
    async with a_pipe(postgres_url_factory(), POWER) as published:
        await published.publish_all([a_frame(rows[i : i + 500]) for i in range(0, len(rows), 500)], site="power")
        await published.tick(LATER)
        expected = await answers(published)
    url = postgres_url_factory()
    async with a_pipe(url, POWER) as pipe:
        told = await imported(GAS_TURBINE, url, capsys)
        assert (told["rows"], told["stored"], told["resumed_at"]) == (len(nox), len(nox), 0)
        await pipe.tick(LATER)
        assert await answers(pipe) == expected
        stored = await pipe.rows("SELECT sampled_at, nox FROM measurement ORDER BY 1")
        assert stored == [(START + timedelta(hours=i), value) for i, value in enumerate(nox)]
        counted = await books(pipe)
        assert (counted["published"], counted["stored"], counted["unexplained"]) == (len(nox), len(nox), 0)


async def test_importing_twice_stores_nothing_twice_and_counts_duplicates(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHUNK_ROWS", 2_000)
    n = len(gas_turbine_nox())
    async with a_pipe(database_url, POWER) as pipe:
        await imported(GAS_TURBINE, database_url, capsys)
        await pipe.tick(LATER)
        before = await answers(pipe)
        again = await imported(GAS_TURBINE, database_url, capsys)
        assert (again["stored"], again["duplicate"], again["resumed_at"]) == (0, n, 0)
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(n,)]
        assert await pipe.rows("SELECT count(*) FROM rejudge") == [(0,)], "nothing has to be judged again"
        assert await answers(pipe) == before
        counted = await books(pipe)
        assert counted == {
            "published": 2 * n,
            "stored": n,
            "duplicate": n,
            **dict.fromkeys(("conflict", "quarantined", "unexplained", "in_flight", "dropped"), 0),
        }


async def test_an_import_goes_on_behind_the_last_committed_chunk(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHUNK_ROWS", 1_000)
    n = len(gas_turbine_nox())
    commits = 0
    commit = Intake.commit

    async def cut(self: Intake, messages: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 4:
            raise asyncio.CancelledError
        return await commit(self, messages)

    async with a_pipe(database_url, POWER) as pipe:
        with monkeypatch.context() as patched:
            patched.setattr(Intake, "commit", cut)
            with pytest.raises(asyncio.CancelledError):
                await imported(GAS_TURBINE, database_url, capsys)
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(3_000,)]
        told = await imported(GAS_TURBINE, database_url, capsys)
        assert (told["resumed_at"], told["stored"], told["duplicate"]) == (3_000, n, 0)
        assert await pipe.rows("SELECT count(*), count(DISTINCT batch_id) FROM measurement") == [(n, 8)]
        assert (await books(pipe))["unexplained"] == 0


async def test_a_killed_import_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "minutes.csv"
    n = 60_000
    with file.open("w") as lines:
        lines.write("time,so2\n")
        for i in range(n):
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=i)
            lines.write(f"{at.isoformat()},{i % 97}\n")
    argv = [sys.executable, "-m", "stackwatch", "import", str(file), "--site", "works", "--stack", "DA001", "--json"]
    argv += ["--database-url", database_url]
    async with a_pipe(database_url, WORKS) as pipe:
        with subprocess.Popen(argv) as killed:  # noqa: ASYNC220 - to be killed
            await until(pipe, "SELECT count(*) > 0 FROM batch")
            killed.send_signal(signal.SIGKILL)
        # what it had sent before may still be committed
        await until(pipe, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'stackwatch import'")
        committed = (await pipe.rows("SELECT count(*) FROM measurement"))[0][0]
        assert 0 < committed < n, "it was killed in its middle"
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True, timeout=120)
        told = json.loads(done.stdout)
        assert (told["resumed_at"], told["stored"], told["duplicate"]) == (committed, n, 0)
        assert await pipe.rows("SELECT count(*), sum(so2) FROM measurement") == [(n, sum(i % 97 for i in range(n)))]


async def test_what_cannot_be_taken_is_quarantined_and_its_neighbours_are_stored(
    database_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "faults.csv"
    late = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    rows = ["2026-01-01T00:00:00Z,5", "soon,5", "2026-01-01T00:01:00Z,much", f"{late},5", "2026-01-01T00:02:00Z,7"]
    file.write_text("\n".join(["sampled_at,so2", *rows]))
    async with a_pipe(database_url, WORKS) as pipe:
        told = await imported(
            file, database_url, capsys, site="works", stack="DA001", mapping=[], start=None, step=None
        )
        assert {name: told[name] for name in ("rows", "stored", "quarantined", "not_numbers", "not_stamped")} == {
            "rows": 5,
            "stored": 3,
            "quarantined": 1,
            "not_numbers": 1,
            "not_stamped": 1,
        }
        assert await pipe.rows("SELECT so2 FROM measurement ORDER BY sampled_at") == [(5.0,), (None,), (7.0,)]
        (reason,) = (await pipe.rows("SELECT reason FROM quarantine"))[0]
        assert "ahead of the system's clock" in reason


async def test_what_was_measured_live_stands_and_another_imported_value_is_a_conflict(
    database_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "other.csv"
    file.write_text("time,so2\n2026-01-01T00:00:00Z,9\n2026-01-01T00:01:00Z,3\n")
    arguments: dict[str, Any] = {"site": "works", "stack": "DA001", "mapping": [], "start": None, "step": None}
    async with a_pipe(database_url, WORKS) as pipe:
        live = {"stack": "DA001", "sampled_at": "2026-01-01T00:00:00Z", "so2": 5.0}
        await pipe.publish(a_frame([live], session="s", seq=1, sent_at=1_767_225_600_000))
        told = await imported(file, database_url, capsys, **arguments)
        assert (told["stored"], told["conflict"]) == (1, 1)
        assert await pipe.rows("SELECT so2 FROM measurement ORDER BY sampled_at") == [(5.0,), (3.0,)]
        assert await pipe.rows("SELECT counted, others FROM measurement_conflict") == [([5.0, "N"], [[9.0, "N"]])]


async def test_a_parquet_file_is_imported_like_a_csv_file(
    database_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    file = tmp_path / "hours.parquet"
    times = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
    parquet.write_table(pyarrow.table({"time": times, "so2": [float(i) for i in range(24)]}), file)
    async with a_pipe(database_url, WORKS) as pipe:
        told = await imported(
            file, database_url, capsys, site="works", stack="DA001", mapping=[], start=None, step=None
        )
        assert told["stored"] == 24
        assert await pipe.rows("SELECT so2 FROM measurement ORDER BY sampled_at") == [(float(i),) for i in range(24)]


async def test_an_unknown_site_or_stack_is_refused_before_anything_is_stored(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        with pytest.raises(NotFound, match="no site 'nowhere'"):
            await imported(GAS_TURBINE, database_url, capsys, site="nowhere")
        with pytest.raises(BadDocument, match="site 'power' has no stack 'GT2'"):
            await imported(GAS_TURBINE, database_url, capsys, stack="GT2")
        assert await pipe.rows("SELECT count(*) FROM batch") == [(0,)]
