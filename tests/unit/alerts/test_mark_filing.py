"""Drafts of one condition that follow one another are filed as one mark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.marks.filing import OpenDraft, filings

T0 = datetime(2026, 11, 9, 16, tzinfo=UTC)
YEAR = timedelta(days=366)


def a_draft(name: str, start_h: float, end_h: float, **others: Any) -> OpenDraft:
    values: dict[str, Any] = {"stack_id": 1, "kind": "stopped", "evidence": {"draft": name}} | others
    return OpenDraft(draft_id=name, start=T0 + timedelta(hours=start_h), end=T0 + timedelta(hours=end_h), **values)


def test_days_that_follow_one_another_become_one_mark_with_the_evidence_of_all() -> None:
    days = [a_draft("c", 48, 50), a_draft("a", 20, 24), a_draft("b", 24, 48)]
    (filed,) = filings(days, longest=YEAR)
    assert (filed.start, filed.end) == (T0 + timedelta(hours=20), T0 + timedelta(hours=50))
    assert filed.drafts == ("a", "b", "c")
    assert [one["draft"] for one in filed.evidence] == ["a", "b", "c"]


def test_what_lies_apart_or_is_of_another_kind_or_stack_is_a_mark_of_its_own() -> None:
    apart = [a_draft("a", 0, 1), a_draft("b", 1.1, 2)]
    other = [a_draft("c", 1, 2, kind="fault"), a_draft("d", 1, 2, stack_id=2)]
    assert [filed.drafts for filed in filings([*apart, *other], longest=YEAR)] == [("c",), ("a",), ("b",), ("d",)]


def test_no_mark_is_longer_than_a_mark_may_be() -> None:
    days = [a_draft(str(day), 24 * day, 24 * day + 24) for day in range(5)]
    filed = filings(days, longest=timedelta(days=2))
    assert [one.drafts for one in filed] == [("0", "1"), ("2", "3"), ("4",)]
