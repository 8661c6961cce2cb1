"""What must hold in the end: the rows of the traces, the answers of a quiet run of the same, and books that balance."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from builders import Pipe, a_frame, a_pipe
from chaos.material import Identity, Material, Values
from plant.channels import CHANNELS
from store.books import book_totals
from store.pool import Connection
from store.scope import EVERYWHERE

Answers = dict[str, list[tuple[Any, ...]]]

_SHOWN: Final = 5
_ROWS_A_FRAME: Final = 500
_KEPT: Final = ("flag", "state", "flags", "extra", *CHANNELS)
_ROWS: Final = f"""
SELECT s.code, k.code, m.instrument, (extract(epoch FROM m.sampled_at) * 1000)::bigint, {", ".join(_KEPT)}
FROM measurement m JOIN stack k USING (stack_id) JOIN site s USING (site_id)
"""
#: What stands in the end, without who sent it, when, and how often it was revised.
_STACK: Final = "JOIN stack k USING (stack_id) JOIN site s USING (site_id)"
_ANSWERS: Final = {
    "means": "SELECT s.code, k.code, start, pollutant, averaging, instrument, rows, valid, valid_minutes,"
    " claimed_minutes, not_running_minutes, mean, o2, mass_kg, rows_hash, final"
    f" FROM hour_mean {_STACK} WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4, 5",
    "verdicts": "SELECT s.code, k.code, start, pollutant, pack, corrected, corrected_from_minutes, claimed, verdict,"
    f" reason, final FROM hour_verdict {_STACK} WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4, 5",
    "months": "SELECT s.code, k.code, month, pollutant, pack, hours_valid, hours_above, hours_undecided, share,"
    f" share_worst, budget, verdict, final FROM month_verdict {_STACK} WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4",
    "alerts": "SELECT alert_id, rule, state, observed, limit_value, period_start, ended_at,"
    " evidence - 'revision' - 'instrument' FROM alert WHERE state <> 'withdrawn'"
    # What is said of edges that were away, of clocks that were wrong and of a stage that stood still is chaos itself.
    " AND rule NOT IN ('edge_offline', 'edge_backlog', 'clock_skew', 'stage_silent', 'receiver_dead')"
    " ORDER BY alert_id",
    "cases": "SELECT s.code, track, units, (SELECT array_agg(alert_id ORDER BY 1) FROM case_alert a"
    ' WHERE a.case_id = c.case_id) FROM "case" c JOIN site s USING (site_id) ORDER BY 1, 2, 3',
}


async def answers(conn: Connection) -> Answers:
    """What the system says of the rows it has."""
    return {name: list(await (await conn.execute(query.encode())).fetchall()) for name, query in _ANSWERS.items()}


async def quiet_answers(database_url: str, material: Material) -> Answers:
    """What it says of the same rows where nothing goes wrong."""
    async with a_pipe(database_url, material.register) as pipe:
        await publish(pipe, material)
        async with pipe.pool.connection() as conn:
            return await answers(conn)


async def publish(pipe: Pipe, material: Material) -> None:
    """Commit all of *material*, one frame after the other, and judge once."""
    for number, trace in enumerate(material.traces):
        fixed = {"stack": trace.stack, "instrument": trace.instrument, "interval_s": trace.step_s}
        await _publish(pipe, trace.site, trace.edge, number, [fixed | row for row in trace.rows])
    await pipe.tick(datetime.now(UTC))


async def _publish(pipe: Pipe, site: str, edge: str, session: int, rows: list[Values]) -> None:
    starts = range(0, len(rows), _ROWS_A_FRAME)
    frames = [
        a_frame(rows[i : i + _ROWS_A_FRAME], session=f"quiet-{session}", seq=i // _ROWS_A_FRAME + 1, rows_before=i)
        for i in starts
    ]
    await pipe.publish_all(frames, site=site, edge=edge)


def other_answers(found: Answers, quiet: Answers) -> list[str]:
    """Where *found* is not what the quiet run says."""
    faults = []
    for name, expected in quiet.items():
        here = found[name]
        missing = [row for row in expected if row not in here]
        more = [row for row in here if row not in expected]
        if here != expected:
            faults.append(f"{name}: {len(here)}, quiet {len(expected)}; missing {missing[:2]}, instead {more[:2]}")
    return faults


async def other_rows(conn: Connection, expected: Mapping[Identity, Values]) -> list[str]:
    """Rows that are missing, twice, from nowhere, or not what was measured."""
    cursor = await conn.execute(_ROWS.encode())
    found: dict[Identity, Values] = {}
    faults = []
    for site, stack, instrument, at, *values in await cursor.fetchall():
        identity = (site, stack, instrument, at)
        if identity in found:
            faults.append(f"row {identity} is there twice")
        found[identity] = {name: value for name, value in zip(_KEPT, values, strict=True) if value is not None}
    faults += [f"row {identity} is missing" for identity in expected if identity not in found]
    faults += [f"row {identity} comes from nowhere" for identity in found if identity not in expected]
    faults += [
        f"row {identity} is {found[identity]}, was measured as {values}"
        for identity, values in expected.items()
        if identity in found and found[identity] != values
    ]
    return [*faults[:_SHOWN], *([f"and {len(faults) - _SHOWN} rows more"] if len(faults) > _SHOWN else [])]


async def other_books(conn: Connection, made: Mapping[tuple[str, str], int]) -> list[str]:
    """Where the books do not balance, or not with what the edges (site, edge) say they *made*."""
    books = await book_totals(conn, EVERYWHERE)
    fates = ("stored", "duplicate", "conflict", "quarantined", "dropped", "in_flight", "unexplained")
    faults = [f"books: {name} is {books[name]}: {books}" for name in fates[2:] if books[name] != 0]
    if books["published"] != sum(books[name] for name in fates):
        faults.append(f"books: published is not the sum of the fates: {books}")
    if books["published"] != sum(made.values()):
        faults.append(f"books: published {books['published']}, the edges made {sum(made.values())}: {dict(made)}")
    return faults


@dataclass(frozen=True, slots=True)
class Kept:
    """What an outbox says of itself."""

    made: int
    dropped: int
    waiting: int


def kept(outbox: Path) -> Kept:
    """The counts of an outbox whose edge has ended."""
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
        made, dropped = db.execute("SELECT made, dropped FROM book").fetchone()
        (waiting,) = db.execute("SELECT count(*) FROM frame").fetchone()
    return Kept(made, dropped, waiting)
