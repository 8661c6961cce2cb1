"""A receiver that takes nothing any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerts.rules.receiver_dead import AFTER, FAILURES, Failing, judge
from plant.periods import HOUR

T: Final = 490_000 * HOUR
FAILING: Final = Failing(
    receiver_id=3, name="duty", kind="webhook", failures=FAILURES, since=T, gone=False, reason="answered 503"
)


def test_it_takes_both_some_failures_and_some_time() -> None:
    assert judge(FAILING, now=T + AFTER) is not None
    assert judge(FAILING, now=T + AFTER - 1) is None
    assert judge(replace(FAILING, failures=FAILURES - 1), now=T + HOUR) is None


def test_who_asks_not_to_be_written_to_is_dead_at_once() -> None:
    found = judge(replace(FAILING, gone=True, failures=1), now=T)
    assert found is not None
    assert found.evidence["gone"] is True


def test_its_name_follows_from_the_receiver_and_the_first_failure() -> None:
    found = judge(FAILING, now=T + AFTER)
    later = judge(replace(FAILING, failures=99, reason="no answer"), now=T + HOUR)
    other = judge(replace(FAILING, receiver_id=4), now=T + AFTER)
    again = judge(replace(FAILING, since=T + 1), now=T + HOUR)
    assert found is not None
    assert later is not None
    assert other is not None
    assert again is not None
    assert found.alert_id == later.alert_id
    assert len({found.alert_id, other.alert_id, again.alert_id}) == 3
