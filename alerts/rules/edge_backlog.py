"""An edge holds rows back.

What it says    the oldest frame in the outbox of an edge that is online has waited for long.
Why it matters  the plant is judged on what has come: until it is there, hours stay undecided and alerts come late.
Not for         edges that are away (`edge_offline`): what waits there is not known; rows that an outbox dropped
                (`rows_dropped`).
Source          the contract of the edge (`outbox` and `oldest` of its state); fifteen minutes: [D].
"""

from __future__ import annotations

from typing import Final

from alerts.rules.edge_seen import Edge, Nothing, finding, text
from alerts.rules.finding import Finding
from plant.periods import MINUTE

NAME: Final = "edge_backlog"
OLD: Final = 15 * MINUTE  #: of the oldest frame, when it is said [D]
YOUNG: Final = 5 * MINUTE  #: of the oldest frame, when it is over [D]
FRESH: Final = 5 * MINUTE  #: how old a state may be that tells anything of now


def judge(edge: Edge, *, now: int, began: int | None) -> Finding | Nothing:
    """*began*: the episode that is open."""
    if not edge.online or edge.said_at is None or now - edge.said_at > FRESH:
        return Nothing.UNKNOWN
    if not edge.outbox or edge.oldest is None:
        return Nothing.CLEAR
    # As it said it: a clock that is wrong is another alert's, and the state may be some seconds old.
    waited = edge.said_at - edge.oldest
    if waited < (OLD if began is None else YOUNG):
        return Nothing.CLEAR
    start = edge.oldest if began is None else began
    return finding(
        edge,
        NAME,
        severity="warning",
        began=start,
        found_at=start + OLD,
        observed=round(waited / MINUTE, 1),
        limit=OLD / MINUTE,
        unit="min that the oldest frame waits",
        evidence={"outbox": edge.outbox, "oldest": text(edge.oldest), "said_at": text(edge.said_at)},
    )
