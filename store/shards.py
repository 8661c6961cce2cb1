"""Which rule stage works on which stacks: leases by the database's clock.

A lease only keeps two stages from looking at the same stack. What they may write is decided by locks (`store.queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from store.pool import Connection
from store.queue import SHARDS

Held = Mapping[int, str | None]  #: by shard, who works on it

_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock(7274012)"
_RENEW: Final[LiteralString] = """
INSERT INTO stage_worker (owner, lease_until) VALUES (%(owner)s, now() + make_interval(secs => %(lease_s)s))
ON CONFLICT (owner) DO UPDATE SET lease_until = excluded.lease_until
"""
_EXPIRE: Final[LiteralString] = "DELETE FROM stage_worker WHERE lease_until <= now()"
_TAKE: Final[LiteralString] = "INSERT INTO shard (shard, owner) SELECT unnest(%b::smallint[]), %s"
_RELEASE: Final[LiteralString] = "DELETE FROM shard WHERE owner = %s AND shard = ANY(%b::smallint[])"


@dataclass(frozen=True, slots=True)
class Move:
    """Shards that a worker takes and lets go of."""

    take: frozenset[int]
    release: frozenset[int]


async def renew(
    conn: Connection, owner: str, lease_s: float, decide: Callable[[Sequence[str], Held], Move]
) -> frozenset[int]:
    """Prolong the lease of *owner*, bury the dead, and move shards as *decide* says of all workers; what it holds."""
    await conn.execute(_LOCK)
    await conn.execute(_RENEW, {"owner": owner, "lease_s": lease_s})
    await conn.execute(_EXPIRE)
    workers = [name for (name,) in await (await conn.execute("SELECT owner FROM stage_worker")).fetchall()]
    held: dict[int, str | None] = dict.fromkeys(range(SHARDS))
    held |= dict(await (await conn.execute("SELECT shard, owner FROM shard")).fetchall())
    move = decide(workers, held)
    if move.release:
        await conn.execute(_RELEASE, [owner, sorted(move.release)])
    if move.take:
        await conn.execute(_TAKE, [sorted(move.take), owner])
    return frozenset(shard for shard, by in held.items() if by == owner) - move.release | move.take


async def leave(conn: Connection, owner: str) -> None:
    """Give everything back: the others need not wait for the lease to end."""
    await conn.execute("DELETE FROM stage_worker WHERE owner = %s", [owner])


async def workers(conn: Connection) -> dict[str, int]:
    """How many shards each stage works on whose lease has not ended."""
    cursor = await conn.execute(
        """
        SELECT w.owner, count(s.shard) FROM stage_worker w LEFT JOIN shard s USING (owner)
        WHERE w.lease_until > now() GROUP BY 1 ORDER BY 1
        """
    )
    return dict(await cursor.fetchall())
