"""What the database takes by itself: bare binary COPY of rows that are encoded and sorted already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from benchmarks.frames import COPY
from benchmarks.servers import Server
from benchmarks.usage import cpu_s


@dataclass(frozen=True, slots=True)
class Copied:
    rows_per_s: float
    database_cpu_us_per_row: float


def copy(url: str, blocks: Sequence[bytes], rows: int, database: Server) -> Copied:
    """Commit each of *blocks* in a transaction of its own, over one connection, into an empty `measurement`."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        used, begun = cpu_s(database.pid), time.monotonic()
        for block in blocks:
            with conn.cursor() as cursor, cursor.copy(COPY) as stream:
                stream.write(block)
        seconds, used = time.monotonic() - begun, cpu_s(database.pid) - used
        stored = conn.execute("SELECT count(*) FROM measurement").fetchone()
    if stored != (rows,):
        raise AssertionError(f"COPY stored {stored} rows of {rows}")
    return Copied(rows / seconds, used * 1e6 / rows)
