"""An edge as the rules on the way to the database see it at one tick, and what they answer.

These rules are about transport: they look at what edges say of themselves and at when frames came, not at what was
measured. They have no backtest, for stored rows do not tell when an edge was away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from alerts.rules.finding import Finding, Series
from plant.periods import written

CLAUSE: Final = "the contract of the edge: its retained state, its last will, its frames; the times are our default [D]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """When a frame was put into the outbox by the clock of the edge, and received by ours; microseconds."""

    sent_at: int
    received_at: int

    @property
    def delay(self) -> int:
        return self.received_at - self.sent_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Instants are microseconds since the epoch; None where there is no such thing."""

    site: str
    edge: str
    online: bool | None = None  #: as it said last; None: it never said
    since: int | None = None  #: when it was first heard to say so
    said_at: int | None = None  #: when it said so last
    outbox: int | None = None  #: frames that wait for a receipt, as it said last
    oldest: int | None = None  #: when the oldest of them was put there, by its clock
    frame_at: int | None = None  #: when its newest frame was received
    longest_interval_s: int = 0  #: of the stacks of its site
    listening: bool = True  #: our own ingestor is: else silence says nothing of the edge
    frames: tuple[Frame, ...] = ()  #: the newest that say when they were sent, the newest first
    ahead: tuple[int, ...] = ()  #: when frames came, of late, of which rows were refused for lying in the future

    @property
    def heard_at(self) -> int | None:
        """When anything was received of it last."""
        return max((at for at in (self.said_at, self.frame_at) if at is not None), default=None)


class Nothing(Enum):
    """What a rule says that has found nothing."""

    CLEAR = "clear"
    UNKNOWN = "unknown"  #: it cannot be told now: what is open stays so


def finding(
    edge: Edge,
    rule: str,
    *,
    severity: str,
    began: int,
    found_at: int,
    observed: float,
    limit: float,
    unit: str,
    evidence: Mapping[str, Any],
) -> Finding:
    """An episode that began at *began* and may go on; *found_at* is when it was long enough to be told."""
    return Finding(
        series=Series(rule=rule, site=edge.site, edge=edge.edge),
        severity=severity,
        period_start=began,
        period_end=max(found_at, began),
        observed=observed,
        limit=limit,
        unit=unit,
        clause=CLAUSE,
        evidence={"edge": edge.edge, **evidence},
        settled=False,
    )


def text(at_us: int | None) -> str | None:
    return None if at_us is None else written(at_us)
