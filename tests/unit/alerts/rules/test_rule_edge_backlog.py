"""An edge that holds rows back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerts.rules import edge_backlog
from alerts.rules.edge_backlog import FRESH, OLD, YOUNG
from alerts.rules.edge_seen import Edge, Nothing
from alerts.rules.finding import Finding
from plant.periods import HOUR, MINUTE

T: Final = 490_000 * HOUR
FULL: Final = Edge(site="works", edge="e1", online=True, said_at=T, frame_at=T, outbox=900, oldest=T - OLD)


def judge(edge: Edge, now: int = T, began: int | None = None) -> Finding | Nothing:
    return edge_backlog.judge(edge, now=now, began=began)


def test_a_frame_that_waited_for_a_quarter_of_an_hour_is_told() -> None:
    assert judge(replace(FULL, oldest=T - OLD + 1)) is Nothing.CLEAR
    found = judge(FULL)
    assert isinstance(found, Finding)
    assert (found.period_start, found.period_end, found.observed, found.limit) == (T - OLD, T, 15.0, 15.0)
    assert found.evidence["outbox"] == 900


def test_it_is_over_when_the_oldest_is_young_or_nothing_waits() -> None:
    began = T - HOUR
    draining = judge(replace(FULL, oldest=T - YOUNG), began=began)
    assert isinstance(draining, Finding)
    assert draining.period_start == began
    assert judge(replace(FULL, oldest=T - YOUNG + 1), began=began) is Nothing.CLEAR
    assert judge(replace(FULL, outbox=0, oldest=None), began=began) is Nothing.CLEAR


def test_what_an_edge_holds_that_is_away_is_not_known() -> None:
    for away in (replace(FULL, online=False), replace(FULL, online=None, said_at=None)):
        assert judge(away) is Nothing.UNKNOWN
    assert judge(FULL, now=T + FRESH + MINUTE, began=T - OLD) is Nothing.UNKNOWN
