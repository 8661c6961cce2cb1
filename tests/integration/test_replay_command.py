"""`stackwatch replay` as a person runs it: killed in the middle, started again, gaps kept, units converted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.polling import until
from fakes.receipting import ReceiptingIngestor

pytestmark = pytest.mark.anyio

ROWS, GAP_S = 4_000, 86_400
FIRST_MS = 1_735_689_600_000
YEAR_MS = 365 * 86_400_000


def a_trace(folder: Path) -> Path:
    """A row a minute, a day's gap in the middle, a pressure in millibars and times in Chinese local time."""
    lines = ["when,SO2,p"]
    for n in range(ROWS):
        day, second = divmod(8 * 3600 + n * 60 + (GAP_S if n >= ROWS // 2 else 0), 86_400)
        hour, minute = divmod(second // 60, 60)
        lines.append(f"2025-01-{day + 1:02} {hour:02}:{minute:02},{n},-{n}.5")
    file = folder / "trace.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def expected() -> dict[int, tuple[float, float]]:
    """Each row a year later, of what stands in the file."""
    gap = {n: GAP_S * 1000 if n >= ROWS // 2 else 0 for n in range(ROWS)}
    return {FIRST_MS + YEAR_MS + n * 60_000 + gap[n]: (float(n), (-n - 0.5) * 100) for n in range(ROWS)}


async def replay(folder: Path, url: str, root: str, *more: str) -> asyncio.subprocess.Process:
    command = (
        *("-m", "stackwatch", "replay", str(folder / "trace.csv"), "--site", "power-1", "--stack", "GT1", "--json"),
        *("--map", "when=sampled_at", "--map", "p=pressure", "--unit", "pressure=mbar", "--zone", "+08:00"),
        *("--shift", "+365d", "--interval", "60", "--outbox", str(folder / "outbox"), "--mqtt-url", url, *more),
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environ | {"STACKWATCH_TOPIC_ROOT": root},
    )


async def told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    assert process.returncode == 0
    document: dict[str, Any] = json.loads(out.splitlines()[-1])
    return document


async def test_a_replay_that_is_killed_goes_on_where_it_was_and_ends_with_the_file_moved_and_converted(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    a_trace(tmp_path)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        first = await replay(tmp_path, mqtt_url, topic_root, "--speed", "10000")  # half a minute in all
        try:
            await until(lambda: len(system.rows) >= 200, 60.0)
        finally:
            first.kill()
            await first.communicate()
        assert len(system.rows) < ROWS
        done = await told(await replay(tmp_path, mqtt_url, topic_root))
        assert (done["rows"], done["refused"], done["not_numbers"], done["not_stamped"]) == (ROWS, 0, 0, 0)
        assert 0 < done["resumed_at"] < ROWS
        again = await told(await replay(tmp_path, mqtt_url, topic_root))
        assert (again["rows"], again["resumed_at"]) == (ROWS, ROWS)
        found = {at: (row["so2"], row["pressure"]) for (_, at), row in system.rows.items()}
    assert found == expected()
