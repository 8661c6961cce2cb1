"""What goes into the database by column is byte for byte what psycopg's own binary COPY writes row by row."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import psycopg
import pytest
from psycopg.copy import LibpqWriter
from psycopg.types.json import Jsonb

from plant.blocks import Block, IncomingRow, block_of, join
from plant.channels import CHANNELS, FLAGS, STATES
from plant.merging import Version
from plant.periods import instant
from store import arriving, pgcopy

ROWS: Final = 60
SEEDS: Final = 15
TYPES: Final = {
    "stack_id": "int4",
    "instrument": "text",
    "sampled_at": "timestamptz",
    "interval_s": "int4",
    "flag": "text",
    "revision": "int4",
    "received_at": "timestamptz",
    "batch_id": "int8",
    "sent_at": "timestamptz",
    "state": "text",
    "flags": "jsonb",
    "extra": "jsonb",
} | dict.fromkeys(CHANNELS, "float8")


class Recording(LibpqWriter):
    """Sends on what psycopg writes, and keeps it."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        self.written = bytearray()

    def write(self, data: psycopg.abc.Buffer) -> None:
        self.written += bytes(data)
        super().write(data)


def a_version(rng: random.Random, channels: Sequence[str]) -> Version:
    named = [channel for channel in channels if rng.random() < 0.8]
    return Version(
        revision=rng.choice((0, 0, 7, (1 << 31) - 1)),
        sent_at=rng.choice((None, rng.randrange(1 << 52))),
        interval_s=rng.choice((1, 60, 3600)),
        flag=rng.choice(sorted(FLAGS)),
        flags={channel: rng.choice(sorted(FLAGS)) for channel in named if rng.random() < 0.1},
        state=rng.choice((None, *STATES)),
        values={channel: rng.choice((0.0, 1e300, -5e-324, rng.gauss(0, 100))) for channel in named},
    )


def some_rows(rng: random.Random) -> list[IncomingRow]:
    others = ["粉尘", "chlorine", 'quote"and\\slash', "".join(rng.choices(string.printable[:94], k=20))]
    channels = rng.sample(CHANNELS, rng.randint(0, len(CHANNELS))) + rng.sample(others, rng.randint(0, 2))
    return [
        IncomingRow(
            rng.randrange(1, 1 << 31),
            rng.choice(("main", "b", "x" * 64)),
            rng.randrange(1 << 52),
            a_version(rng, channels),
        )
        for _ in range(ROWS)
    ]


def row_by_row(
    conn: psycopg.Connection[Any], names: Sequence[str], block: Block, batch_ids: Iterable[int], received_at: int
) -> bytes:
    """What psycopg writes of *block*."""
    columns = psycopg.sql.SQL(", ").join(psycopg.sql.Identifier(name) for name in names)
    statement = psycopg.sql.SQL("COPY measurement ({}) FROM STDIN (FORMAT BINARY)").format(columns)
    with conn.transaction(force_rollback=True), conn.cursor() as cursor:
        writer = Recording(cursor)
        with cursor.copy(statement, writer=writer) as copy:
            copy.set_types([TYPES[name] for name in names])
            for row, batch_id in zip(block.rows(), batch_ids, strict=True):
                by_name = cells(row, batch_id, received_at)
                copy.write_row([by_name[name] for name in names])
        return bytes(writer.written)


def cells(row: IncomingRow, batch_id: int, received_at: int) -> dict[str, Any]:
    version = row.version
    extra = {channel: value for channel, value in version.values.items() if channel not in CHANNELS}
    return {
        "stack_id": row.stack_id,
        "instrument": row.instrument,
        "sampled_at": instant(row.sampled_at),
        "interval_s": version.interval_s,
        "flag": version.flag,
        "flags": Jsonb(dict(version.flags)) if version.flags else None,
        "state": version.state,
        "revision": version.revision,
        "sent_at": None if version.sent_at is None else instant(version.sent_at),
        "received_at": instant(received_at),
        "batch_id": batch_id,
        "extra": Jsonb(extra) if extra else None,
    } | {channel: version.values.get(channel) for channel in CHANNELS}


@pytest.mark.parametrize("blocks", [1, 3])
def test_by_column_and_row_by_row_write_the_same_bytes(database_url: str, blocks: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        for seed in range(SEEDS):
            rng = random.Random(seed)
            block = join([block_of(some_rows(rng)) for _ in range(blocks)])
            batch_ids, received_at = np.arange(len(block)) + (1 << 40), rng.randrange(1 << 52)
            columns = arriving._columns(block, batch_ids, np.full(len(block), received_at))
            names = [column.name for column in columns]
            left_out = set(TYPES) - set(names)
            for row in block.rows():
                by_name = cells(row, 1, 1)
                assert all(by_name[name] is None for name in left_out)
            ours = b"".join(pgcopy.buffers(columns, len(block)))
            assert ours == row_by_row(conn, names, block, batch_ids.tolist(), received_at), seed
