"""What is told of a group, when, and what is left unsaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notify.notices import BEGINS, Event, Noted, Settled, due, note, settle
from alerts.notify.routes import Route
from fakes.alert_documents import alert_document

T: Final = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
ROUTE: Final = Route(name="r", wait_s=30, interval_s=300, repeat_s=3_600)
SECOND: Final = timedelta(seconds=1)


def noted(*events: str, document: Mapping[str, Any] | None = None) -> Noted | None:
    found: Noted | None = None
    for event in events:
        found, _ = note(found, event, document or alert_document())
    return found


def ids(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    return [document["id"] for document in documents]


def settled(
    *pairs: tuple[Noted, Mapping[str, Any]],
    now: datetime = T,
    told_at: datetime | None = None,
    route: Route = ROUTE,
) -> Settled:
    documents = {document["id"]: document for _, document in pairs}
    return settle(route, [one for one, _ in pairs], documents, now=now, told_at=told_at)


TOLD: Final = Noted(alert_id="al-1", told=True)
OPENED: Final = Noted(alert_id="al-1", news="opened")


def test_an_alert_that_opens_is_news_and_told_once() -> None:
    first = settled((OPENED, alert_document()))
    assert first.notice is not None
    assert ids(first.notice.new) == ["al-1"]
    assert first.noted == (TOLD,)
    again = settled((TOLD, alert_document()), now=T + 301 * SECOND, told_at=T)
    assert again.notice is None
    assert again.noted == (TOLD,)


@pytest.mark.parametrize("event", ["changed", "stepped_down", "something_that_comes_later"])
def test_what_is_no_news_changes_nothing(event: str) -> None:
    assert note(TOLD, event, alert_document()) == (TOLD, False)
    assert note(None, event, alert_document()) == (None, False)


@pytest.mark.parametrize("event", sorted(BEGINS))
def test_what_begins_or_gets_graver_is_news_also_to_who_was_told_before(event: str) -> None:
    after, news = note(TOLD, event, alert_document())
    assert news
    assert after is not None
    answer = settled((after, alert_document()), told_at=T - timedelta(hours=2))
    assert answer.notice is not None
    assert ids(answer.notice.new) == ["al-1"]


def test_a_suppressed_alert_is_told_when_it_is_no_longer_suppressed() -> None:
    silenced = alert_document(suppressed_by=[{"reason": "silence"}])
    assert note(None, "opened", silenced) == (None, False)
    assert note(None, "unsuppressed", alert_document())[1]


def test_an_alert_that_ended_while_it_was_suppressed_is_not_told_when_the_silence_ends() -> None:
    assert note(None, "unsuppressed", alert_document(state="resolved")) == (None, False)


def test_an_alert_that_is_suppressed_before_its_turn_is_not_told() -> None:
    silenced = alert_document(suppressed_by=[{"reason": "silence"}])
    assert settled((OPENED, silenced)).notice is None
    assert noted("opened", "suppressed") is None


def test_an_alert_that_is_suppressed_after_it_was_told_is_not_repeated_and_its_end_is_not_told() -> None:
    silenced = alert_document(suppressed_by=[{"reason": "silence"}])
    later = T + timedelta(hours=2)
    assert settled((TOLD, silenced), now=later, told_at=T).notice is None
    assert settled((TOLD, {**silenced, "state": "resolved"}), now=later, told_at=T).notice is None


def test_an_alert_that_was_acknowledged_before_its_turn_is_not_told_unless_it_got_graver() -> None:
    seen = alert_document(state="acknowledged")
    assert noted("opened", "acknowledged") is None
    assert settled((OPENED, seen)).notice is None
    graver = settled((replace(TOLD, news="escalated"), seen), told_at=T - timedelta(hours=1))
    assert graver.notice is not None
    assert ids(graver.notice.new) == ["al-1"]


def test_an_exceedance_that_ended_before_its_turn_is_told_all_the_same() -> None:
    kept = noted("opened", "resolved")
    assert kept == OPENED
    answer = settled((OPENED, alert_document(state="resolved", ended_at="2026-11-20T01:00:00Z")))
    assert answer.notice is not None
    assert ids(answer.notice.new) == ["al-1"]
    assert answer.noted == ()


def test_the_end_of_what_was_told_is_told_and_of_what_was_not_is_not() -> None:
    over = alert_document(state="resolved")
    answer = settled((replace(TOLD, news="resolved"), over), told_at=T)
    assert answer.notice is not None
    assert (ids(answer.notice.over), answer.noted) == (["al-1"], ())
    quiet = settled((replace(TOLD, news="resolved"), over), told_at=T, route=replace(ROUTE, resolved=False))
    assert (quiet.notice, quiet.noted) == (None, ())
    assert note(None, "resolved", over) == (None, False)


def test_what_late_data_unmade_is_taken_back_to_who_was_told_of_it() -> None:
    gone = alert_document(state="withdrawn")
    assert note(OPENED, "withdrawn", gone) == (None, False)
    after, news = note(TOLD, "withdrawn", gone)
    assert news
    assert after is not None
    answer = settled((after, gone), told_at=T, route=replace(ROUTE, resolved=False))
    assert answer.notice is not None
    assert (ids(answer.notice.withdrawn), answer.noted) == (["al-1"], ())


def test_it_is_repeated_after_its_time_while_it_fires_and_not_before() -> None:
    before = settled((TOLD, alert_document()), now=T + timedelta(minutes=59), told_at=T)
    assert (before.notice, before.due_at) == (None, T + timedelta(hours=1))
    answer = settled((TOLD, alert_document()), now=T + timedelta(hours=1), told_at=T)
    assert answer.notice is not None
    assert answer.notice.repeats
    assert ids(answer.notice.standing) == ["al-1"]


def test_what_was_acknowledged_is_not_repeated() -> None:
    answer = settled((TOLD, alert_document(state="acknowledged")), now=T + timedelta(days=3), told_at=T)
    assert (answer.notice, answer.due_at) == (None, None)
    assert answer.noted == (TOLD,), "its end is still owed"


def test_a_route_may_tell_once_and_never_repeat() -> None:
    once = replace(ROUTE, repeat_s=None)
    assert settled((TOLD, alert_document()), now=T + timedelta(days=30), told_at=T, route=once).notice is None


def test_a_storm_is_one_message_the_gravest_first() -> None:
    pairs = [
        (
            Noted(alert_id=f"al-{n}", news="opened"),
            alert_document(f"al-{n}", severity="critical" if n == 321 else "warning"),
        )
        for n in range(500)
    ]
    answer = settled(*pairs)
    assert answer.notice is not None
    assert len(answer.notice.new) == 500
    assert answer.notice.new[0]["id"] == "al-321"


def test_a_group_waits_for_company_and_keeps_its_distance() -> None:
    assert due(ROUTE, T, told_at=None, due_at=None) == T + 30 * SECOND
    assert due(ROUTE, T, told_at=T - 100 * SECOND, due_at=None) == T + 200 * SECOND
    assert due(ROUTE, T, told_at=T - timedelta(days=1), due_at=None) == T + 30 * SECOND
    # What comes later does not put off what was to be said.
    assert due(ROUTE, T + 20 * SECOND, told_at=None, due_at=T + 30 * SECOND) == T + 30 * SECOND
    # And a repetition that is far away does not keep news waiting.
    assert due(ROUTE, T, told_at=T - timedelta(minutes=10), due_at=T + timedelta(hours=1)) == T + 30 * SECOND


STATES: Final = {
    Event.OPENED: "firing",
    Event.REOPENED: "firing",
    Event.ESCALATED: "firing",
    Event.UNSUPPRESSED: "firing",
    Event.ACKNOWLEDGED: "acknowledged",
    Event.RESOLVED: "resolved",
    Event.WITHDRAWN: "withdrawn",
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STATES)), st.booleans()), max_size=12), st.booleans())
def test_whatever_happens_nobody_is_told_of_an_end_without_its_beginning(
    story: list[tuple[Event, bool]], resolved: bool
) -> None:
    """And a memory is kept exactly while there is something open that was told, or something to say."""
    route, now, told_at = replace(ROUTE, resolved=resolved), T, None
    one: Noted | None = None
    begun = False
    for event, settles in story:
        document = alert_document(state=STATES[event])
        one, _ = note(one, event, document)
        if one is None or not settles:
            continue
        now += timedelta(hours=2)
        answer = settle(route, [one], {"al-1": document}, now=now, told_at=told_at)
        if answer.notice is not None:
            told_at = now
            if answer.notice.over or answer.notice.withdrawn or answer.notice.standing:
                assert begun
            begun = bool(answer.notice.open)
        one = answer.noted[0] if answer.noted else None
        assert one is None or (one.told and document["state"] in ("firing", "acknowledged"))
