"""What is reported beside the measurements: means that a logger computed or a platform holds, and process values.

A report stands or falls as a whole. Of all that arrived for one row the highest revision counts; of one revision, what
has the smaller (sent_at, body). So the outcome is a function of what arrived, never of the order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from plant.merging import NEVER


@dataclass(frozen=True, slots=True)
class Kind:
    """`identity` and `content` are names of columns; the last of `identity` is `sampled_at`."""

    name: str
    identity: tuple[str, ...]
    content: tuple[str, ...]


LOGGER: Final = "logger"  #: what the plant's own data logger computed
PLATFORM: Final = "platform"  #: what a platform that is reported to has confirmed
SOURCES: Final = (LOGGER, PLATFORM)
MEAN_VALUES: Final = ("avg", "min", "max", "corrected_avg", "corrected_min", "corrected_max", "amount")
REPORTED_MEAN: Final = Kind(
    "reported_mean", ("stack_id", "source", "channel", "interval_s", "sampled_at"), (*MEAN_VALUES, "flag")
)
SIGNAL: Final = Kind("signal", ("site_id", "unit", "stack", "signal", "sampled_at"), ("value", "flag"))
KINDS: Final = {kind.name: kind for kind in (REPORTED_MEAN, SIGNAL)}


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that arrived for one row; times in microseconds since the epoch."""

    kind: Kind
    key: tuple[Any, ...]  #: by `kind.identity`
    revision: int
    sent_at: int | None
    content: tuple[Any, ...]  #: by `kind.content`

    @property
    def sampled_at(self) -> int:
        return int(self.key[-1])

    @property
    def identity(self) -> str:
        return json.dumps(self.key, separators=(",", ":"), ensure_ascii=False)

    @property
    def body(self) -> str:
        """Canonical JSON of all but `sent_at`: equal bodies are the same thing sent again."""
        says = dict(zip(self.kind.content, self.content, strict=True)) | {"revision": self.revision}
        return json.dumps(says, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def report_from(kind: Kind, key: tuple[Any, ...], body: str, sent_at: int | None) -> Report:
    """The report whose canonical JSON is *body*."""
    says: dict[str, Any] = json.loads(body)
    return Report(kind, key, says["revision"], sent_at, tuple(says[name] for name in kind.content))


def ranked(reports: Iterable[Report]) -> list[Report]:
    """What arrived for one row, each thing once and with the earliest time at which it was sent; the first counts."""
    earliest: dict[str, Report] = {}
    for report in reports:
        known = earliest.setdefault(report.body, report)
        if _sent(report) < _sent(known):
            earliest[report.body] = replace(known, sent_at=report.sent_at)
    return sorted(earliest.values(), key=lambda report: (-report.revision, _sent(report), report.body.encode()))


def _sent(report: Report) -> int:
    return NEVER if report.sent_at is None else report.sent_at
