"""The order of work of a rule stage: what is settled first, nothing for ever last, everything in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerts.agenda import FAIR_EVERY, PATIENCE, Agenda
from alerts.looking import NEVER, NextLook
from plant.periods import HOUR, MINUTE
from store.queue import LIVE, Waiting

AFTER = 2 * MINUTE
NOON = 12 * HOUR


def asked(
    stack_id: int, *, at: int, hour: int = NOON, pressing: bool = False, bulk: bool = False, clock: int = LIVE
) -> Waiting:
    return Waiting(
        stack_id=stack_id, clock=clock, first_id=at, last_id=at, oldest_hour=hour, pressing=pressing, bulk=bulk
    )


def an_agenda(*waiting: Waiting, now: int = NOON + 5 * MINUTE) -> Agenda:
    agenda = Agenda(AFTER)
    agenda.advance({LIVE: now})
    agenda.begin(waiting)
    return agenda


def taken(agenda: Agenda) -> list[int]:
    """Every stack that waits, in the order in which they are judged."""
    found = []
    while (stack_id := agenda.take()) is not None:
        found.append(stack_id)
        agenda.done(stack_id)
    return found


def test_ended_hours_come_before_running_ones_and_new_packs_last() -> None:
    agenda = an_agenda(
        asked(1, at=1, bulk=True, hour=NOON - 9 * HOUR),
        asked(2, at=2),
        asked(3, at=3, hour=NOON - HOUR),
        asked(4, at=4, pressing=True),
    )
    assert taken(agenda) == [3, 4, 2, 1]


def test_a_running_hour_presses_once_it_has_ended_by_the_clock_of_its_site() -> None:
    agenda = an_agenda(asked(1, at=1), asked(2, at=2, clock=7))
    agenda.advance({LIVE: NOON + 6 * MINUTE, 7: NOON + HOUR + AFTER})
    assert taken(agenda) == [2, 1]


def test_a_stack_near_its_limit_is_looked_at_when_it_can_be_lost() -> None:
    agenda = an_agenda(asked(1, at=1), asked(2, at=2))
    assert agenda.take() == 1
    assert agenda.take() == 2
    agenda.done(1, next_look=NextLook(NOON + 30 * MINUTE))
    agenda.done(2, next_look=NextLook(NOON + 10 * MINUTE))
    agenda.add([asked(1, at=3), asked(2, at=4)])
    agenda.advance({LIVE: NOON + 10 * MINUTE})
    assert taken(agenda) == [2, 1]


def test_hours_that_can_be_lost_and_hours_that_ended_take_turns() -> None:
    agenda = an_agenda(*[asked(stack, at=stack) for stack in (1, 2, 3)])
    for stack in (1, 2, 3):
        assert agenda.take() == stack
        agenda.done(stack, next_look=NextLook(NOON + 9 * MINUTE))
    agenda.add([asked(stack, at=stack, hour=NOON - HOUR) for stack in (11, 12, 13)])
    agenda.add([asked(stack, at=stack + 20) for stack in (1, 2, 3)])
    agenda.advance({LIVE: NOON + 9 * MINUTE})
    order = [stack in (1, 2, 3) for stack in taken(agenda)]
    assert 1 <= sum(order[:3]) <= 2, "neither waits for all of the other"


def test_an_hour_that_is_above_so_far_is_looked_at_first_of_all_and_not_only_glanced_at() -> None:
    agenda = an_agenda(*[asked(stack, at=stack) for stack in (1, 2, 3)])
    for stack in (1, 2, 3):
        assert agenda.take() == stack
        agenda.done(stack, next_look=NextLook(NOON + 9 * MINUTE, NOON + 10 * MINUTE if stack == 3 else NEVER))
    agenda.add([asked(11, at=11, hour=NOON - HOUR), *[asked(stack, at=stack + 20) for stack in (1, 2, 3)]])
    agenda.advance({LIVE: NOON + 9 * MINUTE})
    assert agenda.take() in (1, 11), "it is not yet the time of the third"
    agenda.advance({LIVE: NOON + 10 * MINUTE})
    assert agenda.take() == 3
    assert agenda.glance(3) is None


def test_a_burst_of_ended_hours_does_not_keep_a_running_hour_that_is_above_waiting() -> None:
    agenda = an_agenda(asked(99, at=1))
    assert agenda.take() == 99
    agenda.done(99, next_look=NextLook(NOON + 9 * MINUTE, NOON + 9 * MINUTE))
    agenda.add([asked(stack, at=stack, hour=NOON - HOUR) for stack in range(50)])
    agenda.add([asked(99, at=100, hour=NOON - HOUR)])  # its own hour has ended too
    agenda.advance({LIVE: NOON + 9 * MINUTE})
    assert 99 in (agenda.take(), agenda.take())


def test_nothing_is_begun_beside_an_hour_that_is_above_for_a_while() -> None:
    agenda = an_agenda(asked(1, at=1), asked(2, at=2, hour=NOON - HOUR))
    assert {agenda.take(), agenda.take()} == {1, 2}
    agenda.done(1, next_look=NextLook(NOON + 9 * MINUTE, NOON + 9 * MINUTE))
    agenda.done(2)
    agenda.add([asked(1, at=3), asked(2, at=4, hour=NOON - HOUR)])
    agenda.advance({LIVE: NOON + 9 * MINUTE})
    stacks = [agenda.take()]
    if stacks == [2]:  # it was the turn of what has ended
        stacks = [agenda.take()]
        agenda.done(2)
        agenda.add([asked(2, at=5, hour=NOON - HOUR)])
    assert stacks == [1]
    assert [agenda.take() for _ in range(PATIENCE + 1)] == [None] * PATIENCE + [2], "it may wait for something itself"
    agenda.add([asked(3, at=6)])
    agenda.done(1)
    assert agenda.take() == 3


def test_hours_that_ended_keep_their_turn_however_many_running_ones_are_above() -> None:
    agenda = an_agenda(*[asked(stack, at=stack) for stack in range(20)])
    for _ in range(20):
        agenda.done(agenda.take() or 0, next_look=NextLook(NOON + 9 * MINUTE, NOON + 9 * MINUTE))
    agenda.add([asked(stack, at=stack + 50) for stack in range(20)])
    agenda.add([asked(stack, at=stack, hour=NOON - HOUR) for stack in range(30, 50)])
    agenda.advance({LIVE: NOON + 9 * MINUTE})
    first = taken(agenda)[:18]
    assert 6 <= sum(stack >= 30 for stack in first) <= 9


def test_nothing_waits_for_ever_behind_what_presses() -> None:
    agenda = an_agenda(asked(99, at=0))
    for turn in range(FAIR_EVERY):
        agenda.add([asked(turn, at=turn + 1, pressing=True)])
    assert 99 in [agenda.take() for _ in range(FAIR_EVERY)]


def test_a_stack_is_at_work_once_and_asked_again_afterwards() -> None:
    agenda = an_agenda(asked(1, at=1))
    assert agenda.take() == 1
    agenda.add([asked(1, at=2)])
    assert agenda.take() is None, "its rows are being judged"
    agenda.done(1)
    assert agenda.take() == 1


def test_what_somebody_else_holds_is_tried_at_the_next_advance() -> None:
    agenda = an_agenda(asked(1, at=1))
    assert agenda.take() == 1
    agenda.hold_back(1)
    assert agenda.take() is None
    agenda.advance({LIVE: NOON + 5 * MINUTE})
    assert taken(agenda) == [1]


def test_more_than_fits_into_one_transaction_stays_on_the_agenda() -> None:
    agenda = an_agenda(asked(1, at=1, pressing=True))
    assert agenda.take() == 1
    agenda.done(1, more=True)
    assert taken(agenda) == [1]


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda stack, at, hour, pressing, bulk: asked(
                    stack, at=at, hour=hour * HOUR, pressing=pressing, bulk=bulk, clock=stack % 2
                ),
                st.integers(1, 9),
                st.integers(1, 99),
                st.integers(8, 14),
                st.booleans(),
                st.booleans(),
            ),
            st.sampled_from(["take", "done", "hold back", "advance"]),
        )
    )
)
def test_every_stack_that_was_asked_about_is_judged(steps: list[Waiting | str]) -> None:
    agenda, at_work, open_ones, hour = an_agenda(), list[int](), set[int](), 12
    for step in steps:
        if isinstance(step, Waiting):
            agenda.add([step])
            open_ones.add(step.stack_id)
        elif step == "advance":
            hour += 1
            agenda.advance({0: hour * HOUR, 1: hour * HOUR})
        elif step == "take":
            stack_id = agenda.take()
            if stack_id is not None:
                assert stack_id not in at_work
                at_work.append(stack_id)
                open_ones.discard(stack_id)
        elif at_work and step == "done":
            agenda.done(at_work.pop(), next_look=NextLook(hour * HOUR + 1))
        elif at_work:
            stack_id = at_work.pop()
            agenda.hold_back(stack_id)
            open_ones.add(stack_id)
    for stack_id in at_work:
        agenda.done(stack_id)
    agenda.advance({0: 99 * HOUR, 1: 99 * HOUR})
    assert set(taken(agenda)) == open_ones


def test_a_running_hour_that_may_be_lost_is_only_glanced_at_and_waits_on() -> None:
    agenda = an_agenda(asked(1, at=1))
    assert agenda.take() == 1
    agenda.done(1, next_look=NextLook(NOON + 10 * MINUTE))
    agenda.add([asked(1, at=2)])
    agenda.advance({LIVE: NOON + 11 * MINUTE})
    assert agenda.take() == 1
    assert agenda.glance(1) == (NOON, NOON + 11 * MINUTE)
    agenda.look_later(1, NextLook(NOON + 20 * MINUTE))
    assert len(agenda) == 1, "what is asked stays asked"


def test_what_is_settled_or_never_judged_is_not_only_glanced_at() -> None:
    agenda = an_agenda(asked(1, at=1, pressing=True), asked(2, at=2, hour=NOON - HOUR), asked(3, at=3))
    for _ in range(3):
        stack_id = agenda.take()
        assert stack_id is not None
        assert agenda.glance(stack_id) is None
