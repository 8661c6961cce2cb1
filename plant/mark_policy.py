"""What a region asks of marks: by when they are to be filed, and how many hours of a kind a stack has in a year.

Policy, not law: the deadline differs from place to place (the same day, 24 h, the next day at noon) and no national
text for steel was found that states it, nor a quota. [D]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from plant.reading import Reader

KINDS: Final = ("start_up", "shut_down", "stopped", "maintenance", "calibration", "fault")
DEADLINE_H: Final = 24  #: after the end of what is marked, where a region sets no other [D]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPolicy:
    deadline_h: int = DEADLINE_H
    quota_h: Mapping[str, float] = field(default_factory=dict)  #: by kind, per stack and local year; unset: no quota


def mark_policy_from(table: Reader) -> MarkPolicy:
    quota = table.table("quota_h")
    for name in quota.names():
        if name not in KINDS:
            quota.fault(name, f"is no kind of mark; kinds are {', '.join(KINDS)}")
    policy = MarkPolicy(
        deadline_h=table.whole("deadline_h", DEADLINE_H, low=0, high=24 * 366),
        quota_h={name: quota.number(name, low=0, high=24 * 366) for name in quota.names()},
    )
    quota.finish()
    table.finish()
    return policy
