"""The clock of an edge: ahead of what we received, or behind all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alerts.rules import clock_skew
from alerts.rules.clock_skew import EMPTY, FRAMES, RECENT
from alerts.rules.edge_seen import Edge, Frame, Nothing
from alerts.rules.finding import Finding
from plant.periods import HOUR, MINUTE, SECOND

T: Final = 490_000 * HOUR


def an_edge(delays_min: Sequence[float], *, outbox: int | None = 0, ahead: tuple[int, ...] = ()) -> Edge:
    """Frames a minute apart, the newest first, received so long after they say that they were sent."""
    frames = tuple(
        Frame(sent_at=T - n * MINUTE - round(delay * MINUTE), received_at=T - n * MINUTE)
        for n, delay in enumerate(delays_min)
    )
    return Edge(site="works", edge="e1", online=True, said_at=T, frame_at=T, outbox=outbox, frames=frames, ahead=ahead)


def judge(edge: Edge, now: int = T, began: int | None = None) -> Finding | Nothing:
    return clock_skew.judge(edge, now=now, began=began)


def test_frames_from_the_future_show_a_clock_that_is_ahead() -> None:
    assert judge(an_edge([-5.0] * FRAMES)) is Nothing.CLEAR
    found = judge(an_edge([-5.1] * FRAMES))
    assert isinstance(found, Finding)
    assert (found.observed, found.limit, found.period_start) == (5.1, 5.0, T - (FRAMES - 1) * MINUTE)
    assert found.evidence["skew_min"] == 5.1


def test_one_frame_from_the_future_shows_nothing() -> None:
    assert judge(an_edge([-60.0, *[0.1] * FRAMES])) is Nothing.CLEAR
    assert judge(an_edge([-60.0] * (FRAMES - 1))) is Nothing.UNKNOWN


def test_a_clock_that_is_behind_delays_even_the_least_delayed() -> None:
    found = judge(an_edge([10.0, 9.0, 12.0, 8.0, 30.0]))
    assert isinstance(found, Finding)
    assert found.observed == -8.0


def test_a_backlog_explains_a_delay() -> None:
    assert judge(an_edge([10.0] * FRAMES, outbox=EMPTY + 1)) is Nothing.CLEAR
    assert judge(an_edge([10.0] * FRAMES, outbox=None)) is Nothing.CLEAR
    assert judge(an_edge([10.0, 9.0, 12.0, 0.1, 30.0])) is Nothing.CLEAR, "one came at once"


def test_rows_that_were_refused_for_the_future_show_it_too() -> None:
    found = judge(an_edge([0.1] * FRAMES, ahead=(T - SECOND, T - MINUTE)))
    assert isinstance(found, Finding)
    assert (found.period_start, found.evidence["rows_in_the_future"]) == (T - MINUTE, 2)
    assert judge(an_edge([0.1] * FRAMES, ahead=(T - RECENT - 1,)), began=T - HOUR) is Nothing.CLEAR


def test_without_fresh_frames_what_is_open_stays_open() -> None:
    assert judge(an_edge([0.1] * FRAMES), now=T + HOUR, began=T) is Nothing.UNKNOWN
    open_still = judge(an_edge([-9.0] * FRAMES), began=T - HOUR)
    assert isinstance(open_still, Finding)
    assert open_still.period_start == T - HOUR
