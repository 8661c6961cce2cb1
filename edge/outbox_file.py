"""The file of an outbox: opened for one process alone, its tables made, or brought up from an earlier form.

What the tables mean is `edge.outbox`'s business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from plant.errors import PlantError

VERSION: Final = 2
BUSY_S: Final = 2.0  # a predecessor that was just told to stop may still be closing
_TABLES: Final = """
CREATE TABLE book (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    session TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    made INTEGER NOT NULL,     -- rows of this session, dropped ones included
    dropped INTEGER NOT NULL,  -- rows that a bound cost
    refused INTEGER NOT NULL,  -- rows that a receipt refused
    ran_ms INTEGER NOT NULL DEFAULT 0  -- how long processes have had this file open
);
CREATE TABLE frame (
    seq INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL,
    rows_before INTEGER NOT NULL,
    dropped_before INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    oldest INTEGER,
    body BLOB NOT NULL,
    kept_ms INTEGER NOT NULL DEFAULT 0  -- `ran_ms` when it was kept
);
CREATE TABLE position (source TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_TO_2: Final = """
ALTER TABLE book ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE frame ADD COLUMN kept_ms INTEGER NOT NULL DEFAULT 0;
"""


class OutboxUnusable(PlantError):
    """The file is no outbox, or another process holds it. A person must look."""


def open_file(path: Path, new_session: Callable[[], str]) -> sqlite3.Connection:
    """The database at *path*, locked until it is closed; a new one begins a new session."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        _take(db)
        _bring_up(db, path, new_session)
    except sqlite3.Error as error:
        db.close()
        why = "another process is using it" if "locked" in str(error) else str(error)
        raise OutboxUnusable(f"outbox {path} cannot be opened: {why}") from error
    except BaseException:
        db.close()
        raise
    return db


def _take(db: sqlite3.Connection) -> None:
    # Exclusive: two agents on one file would give the same numbers twice. The lock dies with its process.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA journal_size_limit = 16777216")
    db.execute("BEGIN IMMEDIATE")
    db.execute("COMMIT")


def _bring_up(db: sqlite3.Connection, path: Path, new_session: Callable[[], str]) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    if version not in (0, 1):
        raise OutboxUnusable(f"{path} was written by another version of stackwatch (format {version})")
    db.execute("BEGIN IMMEDIATE")
    for statement in (_TABLES if version == 0 else _TO_2).split(";"):
        db.execute(statement)
    if version == 0:
        db.execute("INSERT INTO book VALUES (1, ?, 1, 0, 0, 0, 0)", (new_session(),))
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
