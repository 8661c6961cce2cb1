"""Rows that nothing explains: when they are a finding, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerts.rules import rows_unexplained
from alerts.rules.finding import Series, alert_id
from alerts.rules.lost import GRACE, LISTED, Lost
from plant.periods import HOUR, MINUTE

H: Final = 490_000 * HOUR
SERIES: Final = Series(rule=rows_unexplained.NAME, site="works", edge="gate-1")
GAP: Final = Lost(session="s1", first=2, last=3, fate="unexplained", rows=20, counted_at=H, since=H + MINUTE)


def test_rows_are_a_finding_when_the_grace_is_over_and_not_before() -> None:
    ripe = H + MINUTE + GRACE
    assert rows_unexplained.judge(SERIES, H, [GAP], now=ripe - 1) is None
    found = rows_unexplained.judge(SERIES, H, [GAP], now=ripe)
    assert found is not None
    assert (found.observed, found.limit, found.unit, found.severity) == (20.0, 0.0, "rows", "major")
    assert (found.period_start, found.period_end) == (H, H + HOUR)


def test_rows_with_another_fate_are_none() -> None:
    others = [replace(GAP, fate=fate) for fate in ("dropped", "in_flight", "quarantined")]
    assert rows_unexplained.judge(SERIES, H, others, now=H + HOUR) is None


def test_a_finding_that_stands_lasts_while_anything_is_unexplained() -> None:
    rest = replace(GAP, last=2, rows=10, since=H + HOUR)
    assert rows_unexplained.judge(SERIES, H, [rest], now=H + HOUR) is None
    found = rows_unexplained.judge(SERIES, H, [rest], now=H + HOUR, stands=True)
    assert found is not None
    assert found.observed == 10.0
    assert rows_unexplained.judge(SERIES, H, [], now=H + HOUR, stands=True) is None


def test_the_evidence_has_the_gaps_with_the_drops_of_the_same_gap() -> None:
    inside = replace(GAP, session="s0", first=5, last=4, rows=3)  # rows, but no number, are missing before frame 5
    dropped = replace(GAP, fate="dropped", rows=7)
    found = rows_unexplained.judge(SERIES, H, [GAP, inside, dropped], now=H + HOUR)
    assert found is not None
    assert found.evidence == {
        "edge": "gate-1",
        "rows": 23,
        "since": "2025-11-24T16:01:00Z",
        "gaps_in_all": 2,
        "gaps": [
            {
                "session": "s0", "first": None, "last": None, "before": 5, "rows": 3, "dropped": 0,
                "counted_at": "2025-11-24T16:00:00Z", "since": "2025-11-24T16:01:00Z",
            },
            {
                "session": "s1", "first": 2, "last": 3, "before": 4, "rows": 20, "dropped": 7,
                "counted_at": "2025-11-24T16:00:00Z", "since": "2025-11-24T16:01:00Z",
            },
        ],
    }  # fmt: skip


def test_many_gaps_are_counted_and_the_first_are_listed() -> None:
    gaps = [replace(GAP, first=2 * n, last=2 * n, rows=1) for n in range(1, 100)]
    found = rows_unexplained.judge(SERIES, H, gaps[::-1], now=H + HOUR)
    assert found is not None
    assert (found.observed, found.evidence["gaps_in_all"], len(found.evidence["gaps"])) == (99.0, 99, LISTED)
    assert found.evidence["gaps"][0]["first"] == 2


def test_the_id_tells_edges_apart_and_those_of_stacks_are_what_they_were() -> None:
    ids = {alert_id(SERIES, H), alert_id(replace(SERIES, edge="gate-2"), H), alert_id(SERIES, H + HOUR)}
    assert len(ids) == 3
    stack = Series(rule="hour_above_limit", pack="p", site="works", stack="DA001", pollutant="so2")
    assert alert_id(stack, 0) == "al-vx7zl56j763kyimmha3mlhle"
