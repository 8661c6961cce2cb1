"""An edge that is away: by its last will, or by silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerts.rules import edge_offline
from alerts.rules.edge_offline import AWAY, GRAVE, SILENT
from alerts.rules.edge_seen import Edge, Nothing
from alerts.rules.finding import Finding
from plant.periods import HOUR, MINUTE, SECOND

T: Final = 490_000 * HOUR
THERE: Final = Edge(site="works", edge="e1", online=True, since=T - HOUR, said_at=T, frame_at=T, outbox=0)
GONE: Final = replace(THERE, online=False, since=T + SECOND, said_at=T + SECOND)


def judge(edge: Edge, now: int, began: int | None = None) -> Finding | Nothing:
    return edge_offline.judge(edge, now=now, began=began)


def test_a_last_will_is_told_after_five_minutes_and_begins_when_it_came() -> None:
    assert judge(GONE, T + SECOND + AWAY - 1) is Nothing.CLEAR
    found = judge(GONE, T + SECOND + AWAY)
    assert isinstance(found, Finding)
    assert (found.period_start, found.severity, found.settled) == (T + SECOND, "warning", False)
    assert found.evidence["said"] == "offline"
    assert found.series.edge == "e1"


def test_an_edge_that_is_back_is_there() -> None:
    back = replace(THERE, since=T + HOUR, said_at=T + HOUR)
    assert judge(back, T + HOUR, began=T + SECOND) is Nothing.CLEAR


def test_silence_is_told_after_fifteen_minutes_while_we_listen() -> None:
    assert judge(THERE, T + SILENT - 1) is Nothing.CLEAR
    found = judge(THERE, T + SILENT)
    assert isinstance(found, Finding)
    assert (found.period_start, found.evidence["said"]) == (T, "nothing")
    assert judge(replace(THERE, listening=False), T + SILENT) is Nothing.UNKNOWN
    assert isinstance(judge(replace(GONE, listening=False), T + HOUR), Finding), "what it said it said"


def test_an_edge_that_tells_no_state_is_heard_with_its_frames() -> None:
    silent = Edge(site="works", edge="e1", frame_at=T, longest_interval_s=3600)
    assert judge(silent, T + 2 * HOUR + SILENT - 1) is Nothing.CLEAR
    assert isinstance(judge(silent, T + 2 * HOUR + SILENT), Finding)


def test_frames_after_a_last_will_show_that_something_is_there() -> None:
    assert judge(replace(GONE, frame_at=T + MINUTE), T + MINUTE + AWAY) is Nothing.CLEAR


def test_an_edge_that_never_sent_a_frame_is_not_missed() -> None:
    assert judge(replace(GONE, frame_at=None), T + HOUR) is Nothing.CLEAR


def test_a_last_will_in_the_middle_of_a_silence_is_the_same_episode() -> None:
    late = replace(GONE, since=T + HOUR, said_at=T + HOUR)
    found = judge(late, T + HOUR + SECOND, began=T)
    assert isinstance(found, Finding)
    assert found.period_start == T


def test_after_a_day_it_is_graver_and_its_evidence_says_so() -> None:
    early, late = judge(GONE, T + HOUR, began=T + SECOND), judge(GONE, T + SECOND + GRAVE, began=T + SECOND)
    assert isinstance(early, Finding)
    assert isinstance(late, Finding)
    assert (early.severity, late.severity) == ("warning", "major")
    assert early.evidence != late.evidence
    assert early.alert_id == late.alert_id
