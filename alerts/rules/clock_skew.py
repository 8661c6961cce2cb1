"""The clock of an edge is wrong.

What it says    the newest frames of an edge say that they were sent minutes after they were received, or all of them
                minutes before; or rows of it were refused for lying in the future.
Why it matters  rules take the time of a row from the plant: with a wrong clock minutes fall into other hours, rows
                contradict earlier ones, and those in the future wait in quarantine.
Not for         simulated sites, whose time is that of the trace; a delay that a backlog explains.
Source          regulation sheet, 8.3: device and host more than 5 minutes apart [D].

A frame is stamped when it is put into the outbox, so it may arrive late and never early. One direction is certain.
The other is said only of an edge whose outbox is all but empty, and of the least delayed of its newest frames.
"""

from __future__ import annotations

from typing import Final

from alerts.rules.edge_seen import Edge, Nothing, finding, text
from alerts.rules.finding import Finding
from plant.periods import MINUTE

NAME: Final = "clock_skew"
WRONG: Final = 5 * MINUTE
FRAMES: Final = 5  #: that say the same, before it is said [D]
RECENT: Final = 15 * MINUTE  #: how old a frame may be that tells anything of now
EMPTY: Final = 3  #: frames that may wait in an outbox that holds nothing back [D]


def judge(edge: Edge, *, now: int, began: int | None) -> Finding | Nothing:
    """*began*: the episode that is open."""
    frames = [frame for frame in edge.frames if now - frame.received_at <= RECENT]
    ahead = [at for at in edge.ahead if now - at <= RECENT]
    skew = _skew(edge, [frame.delay for frame in frames])
    if skew is None and not ahead:
        return Nothing.CLEAR if len(frames) >= FRAMES else Nothing.UNKNOWN
    start = min([*ahead, *(frame.received_at for frame in frames if skew is not None)]) if began is None else began
    return finding(
        edge,
        NAME,
        severity="warning",
        began=start,
        found_at=start,
        observed=round((skew if skew is not None else WRONG) / MINUTE, 1),
        limit=WRONG / MINUTE,
        unit="min that the clock is ahead; below 0 it is behind",
        evidence={
            "frames": len(frames) if skew is not None else 0,
            "skew_min": None if skew is None else round(skew / MINUTE, 1),
            "rows_in_the_future": len(ahead),
            "newest_in_the_future": text(max(ahead, default=None)),
        },
    )


def _skew(edge: Edge, delays: list[int]) -> int | None:
    """How far the clock is ahead (below 0: behind) where that is certain and too much."""
    if len(delays) < FRAMES:
        return None
    middle = sorted(delays)[len(delays) // 2]
    if middle < -WRONG:
        return -middle
    least = min(delays)
    if least > WRONG and edge.online and edge.outbox is not None and edge.outbox <= EMPTY:
        return -least
    return None
