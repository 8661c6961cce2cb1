"""What must be the same in a database and in a restored copy of it: rows, histories of cases, books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.enforcement.chain import Link, verify
from alerts.enforcement.history import head_of
from stackwatch.archive import Manifest
from store import cases, snapshot
from store.books import book_totals
from store.pool import Connection
from store.scope import EVERYWHERE

_CASES_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Figures:
    counts: Mapping[str, int]
    chains: Mapping[str, str]
    books: Mapping[str, int]


async def figures_of(conn: Connection) -> Figures:
    """The figures of the instant that *conn* sees."""
    return Figures(await snapshot.counts(conn), await _chains(conn), await book_totals(conn, EVERYWHERE))


async def frozen_figures(conn: Connection) -> Figures:
    """The figures of one instant, whatever is written meanwhile."""
    await snapshot.freeze(conn)
    return await figures_of(conn)


def differences(manifest: Manifest, found: Figures) -> list[str]:
    """What a restored database has otherwise than its backup, one sentence each."""
    pairs: Sequence[tuple[str, Mapping[str, object], Mapping[str, object]]] = (
        ("rows of table", manifest.counts, found.counts),
        ("history of case", manifest.chains, found.chains),
        ("books,", manifest.books, found.books),
    )
    return [
        f"{what} {key}: {before.get(key)} in the backup, {after.get(key)} restored"
        for what, before, after in pairs
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


async def _chains(conn: Connection) -> dict[str, str]:
    """By case: the hash of its newest record, or where its chain breaks."""
    found: dict[str, str] = {}
    ids = await snapshot.case_ids(conn)
    for start in range(0, len(ids), _CASES_AT_ONCE):
        some = ids[start : start + _CASES_AT_ONCE]
        events = await cases.events(conn, some)
        for case_id in some:
            case = await cases.find(conn, case_id)
            assert case is not None
            links = [Link(row.body, row.previous_hash, row.hash) for row in events[case_id]]
            broken = verify(head_of(case), links)
            found[case_id] = links[-1].hash.hex() if broken is None else f"broken at {broken}"
    return found
