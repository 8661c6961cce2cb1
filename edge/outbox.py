"""Store and forward on disk: every frame stays until a receipt says that its rows are settled.

One SQLite file is the whole memory of an edge: its session, its sequence numbers, the frames that wait,
and the positions of the sources that filled it, written in the same transaction as the frames. A lost
file is a new session. Sending is the publisher's work; nothing here knows a broker.

Two bounds. *Bytes*: at this one the policy decides whether the oldest frames go or nothing new is taken. *Age*: what
is older goes under either policy. Age is counted in time that this file was open, on a clock that is never set: an edge
whose clock jumps a year ahead, or that lay switched off, loses nothing by it.

A full disk is a bound like the one that was asked for, and the policy holds for it. Letting go of frames needs room
on the disk too, so some is set aside (`edge.reserve`) for the time when there is none.

The methods block for as long as the disk takes and may be called from any thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge.outbox_file import OutboxUnusable, open_file
from edge.reserve import Reserve
from plant import wire
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

Policy = Literal["drop_oldest", "refuse"]
POLICIES: Final[tuple[Policy, ...]] = ("drop_oldest", "refuse")
DEFAULT_MAX_BYTES: Final = 1 << 30
DEFAULT_MAX_AGE_S: Final = 400 * 86_400.0  # a year and the month that is judged after it
_LAST: Final = (1 << 63) - 1
_EVERYTHING: Final = ((1, _LAST),)

_TIGHT: Final = 15 / 16  # of what a full disk held is kept, so that pages that are partly used matter less
_FRAME_OVERHEAD: Final = 72  # what a frame's other columns and its place in a page cost, about


class OutboxFull(Unavailable):
    """The bound or the disk is full and the policy is to refuse. Wait for receipts, or count the rows as dropped."""


class _DiskFull(Unavailable):
    """There is no room on the disk; nothing was kept, and the reserve was given up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it travels. Its bytes are the same each time it is sent, but for `low`."""

    seq: int
    rows: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """What one receipt settled, and the refusals in it that were news."""

    frames: int
    rows: int
    refused: tuple[Mapping[str, Any], ...]
    refused_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    session: str
    next_seq: int
    low: int  #: the lowest sequence number still held; `next_seq` when nothing is
    frames: int
    rows: int
    bytes: int
    oldest_ms: int | None  #: `sampled_at` of the oldest row that waits
    made: int
    dropped: int
    refused: int


def new_session() -> str:
    """Eight hex digits that no earlier file had."""
    return secrets.token_hex(4)


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Outbox:
    """The frames of one edge that wait for a receipt.

    `drop_oldest` makes room by giving up the oldest frames, `refuse` raises `OutboxFull`; every row that is
    lost is counted. `on_append` is called, from the appending thread, when frames were added. *monotonic_s* is the
    clock of ages; *clock_ms* only says `sent_at`.
    """

    def __init__(
        self,
        path: Path,
        *,
        ids: Callable[[], str] = new_session,
        clock_ms: Callable[[], int] = wall_clock_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        policy: Policy = "drop_oldest",
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        self.path = path
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self.policy = policy
        self.on_append: Callable[[], None] | None = None
        self._ids = ids
        self._session = ""
        self._next_seq = 1
        self._made = self._dropped = self._refused = 0
        self._frames = self._rows = self._bytes = 0
        self._fits: int | None = None  #: bytes that a full disk holds, while it is full
        self._clock_ms = clock_ms
        self._monotonic_s = monotonic_s
        self._opened_s = monotonic_s()
        self._ran_before_ms = 0
        self._lock = threading.RLock()
        self._reserve = Reserve(path.with_name(path.name + ".reserve"))
        self._db = open_file(path, ids)
        try:
            self._load()
            self._opened_seq = self._next_seq  #: what this process keeps has this number or a higher one
            self._ran_before_ms = self._db.execute("SELECT ran_ms FROM book").fetchone()[0]
            self._reserve.keep()
        except sqlite3.Error as error:
            self._db.close()
            raise OutboxUnusable(f"outbox {path} cannot be read: {error}") from error
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def session(self) -> str:
        with self._lock:
            return self._session

    @property
    def next_seq(self) -> int:
        """The number that the next frame gets."""
        with self._lock:
            return self._next_seq

    def append(self, columns: Mapping[str, Any], rows: int) -> int:
        """Keep one frame and return its sequence number; on disk when this returns."""
        return self.append_many([(columns, rows)])[0]

    def append_many(
        self,
        frames: Iterable[tuple[Mapping[str, Any], int]],
        *,
        position: tuple[str, str] | None = None,
        can_wait: bool = False,
    ) -> list[int]:
        """Keep all *frames* or none, and with them the *position* (source, value) of their source.

        A source that *can_wait* is refused where another one's frames would make the oldest ones go.

        Raises
        ------
        OutboxFull
            Under the policy `refuse`, or for a source that can wait: at the bound, or on a full disk. Nothing was kept.
        Unavailable
            The disk is failing, or so full that there is nothing to drop. Nothing was kept.
        """
        held = list(frames)
        policy: Policy = "refuse" if can_wait else self.policy
        with self._lock:
            self._look_for_room()
            try:
                given = self._append(held, position, policy)
            except _DiskFull as error:
                if policy == "refuse":
                    raise OutboxFull(str(error)) from error
                given = self._append(held, position, policy)  # the bound is now what the disk holds
        if given and self.on_append is not None:
            self.on_append()
        return given

    def _append(
        self, frames: Sequence[tuple[Mapping[str, Any], int]], position: tuple[str, str] | None, policy: Policy
    ) -> list[int]:
        with self._transaction():
            given = [self._add(columns, rows, policy) for columns, rows in frames]
            if position is not None:
                self._db.execute(
                    "INSERT INTO position (source, value) VALUES (?, ?)"
                    " ON CONFLICT (source) DO UPDATE SET value = excluded.value",
                    position,
                )
        return given

    def count_dropped(self, rows: int) -> None:
        """Count *rows* that their source had to give up because this outbox refused them."""
        with self._transaction():
            self._made += rows
            self._dropped += rows

    def position(self, source: str) -> str | None:
        """How far *source* had come when its last frames were appended."""
        with self._lock:
            found = self._db.execute("SELECT value FROM position WHERE source = ?", (source,)).fetchone()
        return None if found is None else str(found[0])

    def forget_position(self, source: str) -> None:
        """Let *source* begin again; what it appended before stays."""
        with self._transaction():
            self._db.execute("DELETE FROM position WHERE source = ?", (source,))

    def let_go_of_old(self) -> int:
        """Drop the frames that are older than the bound, and note how old the others are; how many rows went."""
        with self._transaction():
            bound = self._ran_ms() - int(self.max_age_s * 1000)
            query = "SELECT seq, rows, length(body) FROM frame WHERE kept_ms < ? ORDER BY seq"
            # `kept_ms` rises with `seq`: the first that is young enough ends the search.
            low = self._db.execute("SELECT kept_ms FROM frame ORDER BY seq LIMIT 1").fetchone()
            if low is None or low[0] >= bound:
                return 0
            return self._drop({seq: (rows, size) for seq, rows, size in self._db.execute(query, (bound,))}, "age")

    def pending(self, after: int, limit: int, *, through: int = _LAST) -> list[Frame]:
        """The next frames above sequence number *after* and up to *through*, in order."""
        with self._lock:
            session, low = self._session, self._low()
            found = self._db.execute(
                "SELECT seq, rows, rows_before, dropped_before, sent_at, body FROM frame"
                " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, through, limit),
            ).fetchall()
        return [_frame(session, low, *row) for row in found]

    def frame(self, seq: int) -> Frame | None:
        """The frame *seq*, or None when it waits no longer."""
        found = self.pending(seq - 1, 1, through=seq)
        return found[0] if found else None

    def settle(self, receipt: wire.Receipt, *, sent: Iterable[tuple[int, int]] = _EVERYTHING) -> Settled:
        """Let go of the frames that *receipt* covers.

        *sent*: (first, last) of the numbers that were published since the process started. A frame that was
        never published cannot be settled, whatever a receipt says that the broker kept from an earlier life of
        this disk. A receipt for numbers that were never given, or given since the file was opened and never
        published, shows that an older copy of the file was put back: what waits is then sent under a new session.
        """
        nothing = Settled(0, 0, ())
        with self._transaction():
            if receipt.session != self._session:
                return nothing
            covered = self._covered(receipt, sent)
            if max(receipt.through, *receipt.also, 0) >= self._next_seq or self._put_back(receipt, covered):
                self._renew()
                return nothing
            refused = tuple(item for item in receipt.refused if item.get("seq") in covered)
            refused_rows = sum(len(item.get("rows") or ()) or covered[int(item["seq"])][0] for item in refused)
            self._refused += refused_rows
            self._delete(covered)
        return Settled(len(covered), sum(rows for rows, _ in covered.values()), refused, refused_rows)

    def stats(self) -> OutboxStats:
        with self._lock:
            oldest = self._db.execute("SELECT min(oldest) FROM frame").fetchone()[0]
            return OutboxStats(
                session=self._session,
                next_seq=self._next_seq,
                low=self._low(),
                frames=self._frames,
                rows=self._rows,
                bytes=self._bytes,
                oldest_ms=oldest,
                made=self._made,
                dropped=self._dropped,
                refused=self._refused,
            )

    @property
    def waiting(self) -> int:
        """Frames that wait for a receipt."""
        with self._lock:
            return self._frames

    @property
    def low(self) -> int:
        with self._lock:
            return self._low()

    def _low(self) -> int:
        lowest = self._db.execute("SELECT min(seq) FROM frame").fetchone()[0]
        return self._next_seq if lowest is None else int(lowest)

    def _load(self) -> None:
        book = self._db.execute("SELECT session, next_seq, made, dropped, refused FROM book").fetchone()
        self._session, self._next_seq, self._made, self._dropped, self._refused = book
        held = self._db.execute("SELECT count(*), total(rows), total(length(body)) FROM frame").fetchone()
        self._frames, self._rows = int(held[0]), int(held[1])
        self._bytes = int(held[2]) + self._frames * _FRAME_OVERHEAD

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute(
                    "UPDATE book SET session = ?, next_seq = ?, made = ?, dropped = ?, refused = ?, ran_ms = ?",
                    (self._session, self._next_seq, self._made, self._dropped, self._refused, self._ran_ms()),
                )
                self._db.execute("COMMIT")
            except BaseException as error:
                self._undo()
                if isinstance(error, sqlite3.Error):
                    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                        raise self._disk_full() from error
                    raise Unavailable(f"outbox {self.path}: {error}") from error
                raise

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._load()

    def _disk_full(self) -> _DiskFull:
        """Note what the disk can hold, and make room enough for letting frames go: also for those with a receipt."""
        self._fits = int(self._bytes * _TIGHT)
        gave = self._reserve.give_up()
        with contextlib.suppress(sqlite3.Error):  # without room for it nothing is lost, and the next receipt tries
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        logger.error("outbox_disk_full", extra={"path": str(self.path), "bytes": self._bytes, "reserve": gave})
        return _DiskFull(f"outbox {self.path}: the disk is full, {self._frames} frames are kept")

    def _look_for_room(self) -> None:
        """Forget that the disk was full once it has room again."""
        if self._fits is not None and self._reserve.keep():
            self._fits = None
            logger.warning("outbox_disk_has_room", extra={"path": str(self.path)})

    def _add(self, columns: Mapping[str, Any], rows: int, policy: Policy) -> int:
        body = wire.encode(columns)
        size = len(body) + _FRAME_OVERHEAD
        self._make_room(size, policy)
        seq = self._next_seq
        times = columns.get("sampled_at")
        oldest = min((t for t in times if isinstance(t, int)), default=None) if isinstance(times, list) else None
        self._db.execute(
            "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (seq, rows, self._made, self._dropped, self._clock_ms(), oldest, body, self._ran_ms()),
        )
        self._next_seq += 1
        self._made += rows
        self._frames += 1
        self._rows += rows
        self._bytes += size
        return seq

    def _make_room(self, size: int, policy: Policy) -> None:
        bound = self.max_bytes if self._fits is None else min(self.max_bytes, self._fits)
        if self._bytes + size <= bound:
            return
        if size > self.max_bytes:
            raise ValueError(f"a frame of {size} bytes can never fit into an outbox of {self.max_bytes}")
        if policy == "refuse":
            why = "" if self._fits is None else ": the disk is full"
            raise OutboxFull(f"outbox {self.path} holds {self._bytes} of {bound} bytes, {size} more asked{why}")
        gone: dict[int, tuple[int, int]] = {}
        freed = 0
        for seq, rows, length in self._db.execute("SELECT seq, rows, length(body) FROM frame ORDER BY seq"):
            gone[seq] = (rows, length)
            freed += length + _FRAME_OVERHEAD
            if self._bytes - freed + size <= bound:
                break
        self._drop(gone, "bytes")

    def _drop(self, gone: Mapping[int, tuple[int, int]], bound: str) -> int:
        """Give up the frames *gone* by their number (rows, bytes); how many rows that costs."""
        self._delete(gone)
        lost = sum(rows for rows, _ in gone.values())
        self._dropped += lost
        fields = {"bound": bound, "dropped_rows": lost, "dropped_frames": len(gone)}
        logger.error("outbox_overflowed", extra=fields)
        return lost

    def _ran_ms(self) -> int:
        return self._ran_before_ms + int((self._monotonic_s() - self._opened_s) * 1000)

    def _covered(self, receipt: wire.Receipt, sent: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
        also = json.dumps([seq for seq in receipt.also if seq > receipt.through])
        held = "SELECT seq, rows, length(body) FROM frame WHERE seq BETWEEN ? AND ?"
        found = []
        for first, last in sent:
            found += self._db.execute(held, (first, min(last, receipt.through))).fetchall()
            listed = f"{held} AND seq IN (SELECT value FROM json_each(?))"
            found += self._db.execute(listed, (max(first, receipt.through + 1), last, also)).fetchall()
        return {seq: (rows, length) for seq, rows, length in found}

    def _put_back(self, receipt: wire.Receipt, covered: Mapping[int, object]) -> bool:
        """Whether *receipt* is for a frame that was kept since the file was opened and was never sent."""
        return not self._covered(receipt, [(self._opened_seq, _LAST)]).keys() <= covered.keys()

    def _delete(self, gone: Mapping[int, tuple[int, int]]) -> None:
        self._db.executemany("DELETE FROM frame WHERE seq = ?", [(seq,) for seq in gone])
        self._frames -= len(gone)
        self._rows -= sum(rows for rows, _ in gone.values())
        self._bytes -= sum(length + _FRAME_OVERHEAD for _, length in gone.values())

    def _renew(self) -> None:
        """Give what waits the numbers 1.. of a new session."""
        logger.warning("outbox_restored", extra={"session": self._session, "frames": self._frames})
        self._session, self._made, self._dropped = self._ids(), 0, 0
        held = self._db.execute("SELECT seq, rows FROM frame ORDER BY seq").fetchall()
        for new, (old, rows) in enumerate(held, start=1):  # new <= old: never a number that is still taken
            self._db.execute(
                "UPDATE frame SET seq = ?, rows_before = ?, dropped_before = 0 WHERE seq = ?", (new, self._made, old)
            )
            self._made += rows
        self._next_seq = len(held) + 1
        self._opened_seq = 1


def _frame(
    session: str, low: int, seq: int, rows: int, rows_before: int, dropped_before: int, sent_at: int, body: bytes
) -> Frame:
    head = wire.frame(
        {},
        session=session,
        seq=seq,
        low=low,
        rows_before=rows_before,
        dropped_before=dropped_before,
        sent_at_ms=sent_at,
    )
    return Frame(seq, rows, head[:-1] + b"," + body[1:])
