"""Rows that an outbox dropped: explained, and lost all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerts.rules import rows_dropped
from alerts.rules.finding import Series
from alerts.rules.lost import GRACE, Lost
from plant.periods import HOUR

H: Final = 490_000 * HOUR
SERIES: Final = Series(rule=rows_dropped.NAME, site="works", edge="gate-1")
GAP: Final = Lost(session="s1", first=2, last=3, fate="dropped", rows=20, counted_at=H, since=H)


def test_dropped_rows_are_a_warning_once_it_is_settled_whose_they_are() -> None:
    assert rows_dropped.judge(SERIES, H, [GAP], now=H + GRACE - 1) is None
    found = rows_dropped.judge(SERIES, H, [GAP, replace(GAP, fate="unexplained", rows=5)], now=H + GRACE)
    assert found is not None
    assert (found.observed, found.severity) == (20.0, "warning")
    (gap,) = found.evidence["gaps"]
    assert (gap["rows"], gap["dropped"]) == (20, 20)


def test_rows_that_were_not_dropped_are_no_finding() -> None:
    others = [replace(GAP, fate=fate) for fate in ("unexplained", "in_flight", "quarantined")]
    assert rows_dropped.judge(SERIES, H, others, now=H + HOUR) is None
