"""An edge is away.

What it says    an edge that has sent frames before said good-bye, or the broker published its last will, or nothing
                has been heard of it; and it has not come back since.
Why it matters  what is measured meanwhile waits on its disk: hours stay undecided until it comes, and are lost if the
                disk is.
Not for         edges that never sent a frame; a time in which our own ingestor does not listen.
Source          the contract of the edge (last will, a state every 30 s); five and fifteen minutes: [D].
"""

from __future__ import annotations

from typing import Final

from alerts.rules.edge_seen import Edge, Nothing, finding, text
from alerts.rules.finding import Finding
from plant.periods import HOUR, MINUTE, SECOND

NAME: Final = "edge_offline"
AWAY: Final = 5 * MINUTE  #: after it said so: a gateway may restart [D]
SILENT: Final = 15 * MINUTE  #: without a word of it, thirty states long [D]
GRAVE: Final = 24 * HOUR  #: then it is one severity graver [D]


def judge(edge: Edge, *, now: int, began: int | None) -> Finding | Nothing:
    """*began*: the episode that is open."""
    if edge.frame_at is None or edge.heard_at is None:
        return Nothing.CLEAR
    said = edge.online is False and (edge.said_at or 0) >= edge.frame_at
    # An edge that tells no state is heard with its frames alone.
    frames = 2 * edge.longest_interval_s * SECOND if edge.online is None else 0
    away_since, limit = (edge.since or edge.heard_at, AWAY) if said else (edge.heard_at, SILENT + frames)
    if now - away_since < limit and not (said and began is not None):
        return Nothing.CLEAR
    if not said and not edge.listening:
        return Nothing.UNKNOWN
    start = away_since if began is None else began
    return finding(
        edge,
        NAME,
        severity="major" if now - start >= GRAVE else "warning",
        began=start,
        found_at=start + limit,
        observed=limit / MINUTE,
        limit=limit / MINUTE,
        unit="min away at least",
        evidence={
            "said": "offline" if said else "nothing",
            "over_a_day": now - start >= GRAVE,
            "heard_at": text(edge.heard_at),
            "outbox": edge.outbox,
            "oldest": text(edge.oldest),
        },
    )
