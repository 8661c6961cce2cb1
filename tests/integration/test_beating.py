"""The health check of a container against a real database: its own beats count, those of others do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from store.heartbeat import beat
from store.pool import connect

pytestmark = pytest.mark.anyio


def check(database_url: str, *components: str, **environ: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "stackwatch.beating", *components],
        env={**kept, "STACKWATCH_DATABASE_URL": database_url, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.strip()


async def test_a_process_is_healthy_while_it_beats_and_is_well(database_url: str) -> None:
    assert check(database_url, "ingestor") == (1, "the ingestor has never been heard")
    async with await connect(database_url, name="test", autocommit=True) as conn:
        await beat(conn, "ingestor", "ingestor-1", ok=True, detail={})
        await beat(conn, "stage", "stage-1", ok=False, detail={"reason": "no tick"})
        assert check(database_url, "ingestor") == (0, "well")
        code, said = check(database_url, "ingestor", "stage")
        assert (code, said) == (1, "the rule stage stage-1 beats but is not well: no tick")
        assert check(database_url, "ingestor", STACKWATCH_INGESTOR_ID="ingestor-2")[0] == 1
        await conn.execute("UPDATE heartbeat SET beat_at = now() - interval '16 s'")
        assert check(database_url, "ingestor")[0] == 1


def test_what_cannot_be_asked_is_not_well() -> None:
    assert check("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2", "ingestor")[0] == 1
    assert check("postgresql://nobody@127.0.0.1:1/none", "ingester")[0] == 2
    assert check("", "ingestor")[0] == 1
