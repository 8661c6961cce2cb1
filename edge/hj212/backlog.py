"""What an uplink owes its platform, on disk: packets in the order of their worth, and what was confirmed.

Days go before hours, hours before minutes, those before real-time data; within each the oldest first. At the bound the
oldest of the least worth goes, and is counted. Confirmed means stay for a while: a platform may ask for them (2051,
2061, 2031).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.hj212.commands import Command
from edge.hj212.composing import Item
from plant.errors import Unavailable

MOST: Final = 100_000
"""Packets that wait: of one stack with 30 s real-time data a month."""
_WORTH: Final = {Command.DAY_DATA: 3, Command.HOUR_DATA: 2, Command.MINUTE_DATA: 1, Command.REALTIME_DATA: 0}
_DAY_MS: Final = 86_400_000
_KEPT_MS: Final = {Command.DAY_DATA: 366 * _DAY_MS, Command.HOUR_DATA: 366 * _DAY_MS, Command.MINUTE_DATA: 31 * _DAY_MS}
_WAITS, _CONFIRMED, _REFUSED = 0, 1, 2
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS packet (
    id INTEGER PRIMARY KEY,
    worth INTEGER NOT NULL,
    cn TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    fields TEXT NOT NULL,
    pnum INTEGER,
    pno INTEGER,
    qn TEXT,                          -- given when it is first sent, and kept
    fate INTEGER NOT NULL DEFAULT 0   -- 0 waits, 1 confirmed, 2 refused
);
CREATE INDEX IF NOT EXISTS packet_due ON packet (fate, worth DESC, at_ms, id);
CREATE INDEX IF NOT EXISTS packet_of ON packet (cn, at_ms);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A packet that is to be sent. `qn`: under which it was sent before; None where it never was."""

    id: int
    item: Item
    qn: str | None


class Backlog:
    """The file of one uplink. Calls are short; any thread may make them.

    Raises
    ------
    Unavailable
        From every call, where the disk fails or is full. Nothing changed.
    """

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self._most = most
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{path} cannot be opened: {error}") from error
        try:
            with self._changing(begin=False):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA cache_size = -512")  # kB: an edge is small
                self._db.executescript(_TABLES)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Backlog:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._db.close()

    def add(self, items: Iterable[Item], notes: Mapping[str, Any]) -> None:
        """Keep *items* and *notes* together."""
        with self._changing():
            for item in items:
                self._db.execute(
                    "INSERT INTO packet (worth, cn, at_ms, fields, pnum, pno) VALUES (?, ?, ?, ?, ?, ?)",
                    (_WORTH[item.command], item.command, item.at_ms, json.dumps(item.fields), item.pnum, item.pno),
                )
                self._forget(item)
            self._note(notes)
            self._drop()

    def note(self, **notes: Any) -> None:
        with self._changing():
            self._note(notes)

    def noted(self, name: str) -> Any:
        """What was noted under *name*; None where nothing was."""
        with self._changing(begin=False):
            found = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def next(self) -> Waiting | None:
        """The packet that is due first."""
        with self._changing(begin=False):
            row = self._db.execute(
                "SELECT id, cn, at_ms, fields, pnum, pno, qn FROM packet WHERE fate = 0"
                " ORDER BY worth DESC, at_ms, id LIMIT 1"
            ).fetchone()
        return None if row is None else Waiting(row[0], _item(row[1:6]), row[6])

    def tried(self, waiting: Waiting, qn: str) -> None:
        """It is about to be sent under *qn*."""
        with self._changing(sync=False):
            self._db.execute("UPDATE packet SET qn = ? WHERE id = ?", (qn, waiting.id))

    def confirm(self, waiting: Waiting, now_ms: int) -> None:
        with self._changing(sync=False):
            self._end(waiting, _CONFIRMED)
            self._note({"last_confirmed_ms": now_ms, "confirmed": (self._noted("confirmed") or 0) + 1})

    def set_aside(self, waiting: Waiting) -> None:
        """The platform does not want it."""
        with self._changing():
            self._end(waiting, _REFUSED)
            self._note({"set_aside": (self._noted("set_aside") or 0) + 1})

    def count_refused(self, code: str) -> None:
        """The platform refused a packet, by its code."""
        with self._changing():
            refused = Counter(self._noted("refused") or {})
            refused[code] += 1
            self._note({"refused": refused})

    def between(self, command: Command, first_ms: int, last_ms: int, *, after: int, limit: int) -> list[Waiting]:
        """What was made for a period, confirmed or not, both ends inclusive; *after*: (id) to page on."""
        with self._changing(begin=False):
            rows = self._db.execute(
                "SELECT id, cn, at_ms, fields, pnum, pno, qn FROM packet"
                " WHERE cn = ? AND at_ms BETWEEN ? AND ? AND id > ? ORDER BY id LIMIT ?",
                (command, first_ms, last_ms, after, limit),
            ).fetchall()
        return [Waiting(row[0], _item(row[1:6]), row[6]) for row in rows]

    @property
    def waiting(self) -> int:
        with self._changing(begin=False):
            return int(self._db.execute("SELECT count(*) FROM packet WHERE fate = 0").fetchone()[0])

    def _end(self, waiting: Waiting, fate: int) -> None:
        if waiting.item.command in _KEPT_MS:
            self._db.execute("UPDATE packet SET fate = ? WHERE id = ?", (fate, waiting.id))
        else:
            self._db.execute("DELETE FROM packet WHERE id = ?", (waiting.id,))

    def _forget(self, item: Item) -> None:
        """Means that nobody may ask for any more."""
        if item.command in _KEPT_MS:
            bound = item.at_ms - _KEPT_MS[item.command]
            self._db.execute("DELETE FROM packet WHERE cn = ? AND at_ms < ? AND fate <> 0", (item.command, bound))

    def _drop(self) -> None:
        over = int(self._db.execute("SELECT count(*) FROM packet WHERE fate = 0").fetchone()[0]) - self._most
        if over > 0:
            self._db.execute(
                "DELETE FROM packet WHERE id IN"
                " (SELECT id FROM packet WHERE fate = 0 ORDER BY worth, at_ms, id LIMIT ?)",
                (over,),
            )
            self._note({"dropped": (self._noted("dropped") or 0) + over})

    def _noted(self, name: str) -> Any:
        found = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def _note(self, notes: Mapping[str, Any]) -> None:
        self._db.executemany(
            "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [(name, json.dumps(value)) for name, value in notes.items()],
        )

    @contextmanager
    def _changing(self, *, begin: bool = True, sync: bool = True) -> Iterator[None]:
        """One transaction. Without *sync* a power cut may undo it: a packet then goes once more, nothing is lost."""
        with self._lock:
            try:
                if begin:
                    self._db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                    self._db.execute("BEGIN IMMEDIATE")
                yield
                if begin:
                    self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise Unavailable(f"{self._path}: {error}") from error
                raise


def _item(row: tuple[Any, ...]) -> Item:
    cn, at_ms, fields, pnum, pno = row
    return Item(command=Command(cn), at_ms=at_ms, fields=tuple(json.loads(fields)), pnum=pnum, pno=pno)
