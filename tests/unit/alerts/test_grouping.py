"""Alerts of one site and kind as one line: its counts, its worst, and that nothing falls out of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.grouping import LISTED, groups, key_of, kind_of
from alerts.rules.catalogue import Group as Kind
from alerts.rules.catalogue import names
from alerts.rules.rule import SEVERITIES


def an_alert(alert_id: str = "al-1", rule: str = "hour_above_limit", **others: Any) -> dict[str, Any]:
    return {
        "id": alert_id,
        "rule": rule,
        "severity": "warning",
        "state": "firing",
        "site": "works",
        "period_start": "2026-11-20T00:00:00Z",
        "started_at": "2026-11-20T00:00:00Z",
        "suppressed_by": None,
        **others,
    }


def test_every_rule_has_a_kind_and_one_that_is_no_more_is_still_listed() -> None:
    assert {kind_of(an_alert(rule=name)) for name in names()} <= set(Kind)
    assert key_of(an_alert(rule="of_last_year")) == "works/data"
    assert key_of(an_alert(rule="of_last_year", site=None)) == "/system"


def test_one_line_for_each_site_and_kind_the_gravest_first() -> None:
    found = groups(
        [
            an_alert("a"),
            an_alert("b", severity="major", period_start="2026-11-20T01:00:00Z"),
            an_alert("c", site="mill"),
            an_alert("d", "rows_dropped"),
        ]
    )
    assert [(group.key, group.alerts) for group in found] == [
        ("works/exceedance", 2),
        ("mill/exceedance", 1),
        ("works/data", 1),
    ]
    assert found[0].by_severity == {"critical": 0, "major": 1, "warning": 1, "info": 0}
    assert (found[0].worst["id"], found[0].ids, found[0].newest) == ("b", ("b", "a"), "2026-11-20T01:00:00Z")


def test_the_worst_is_one_that_is_heard_if_there_is_one() -> None:
    quiet = an_alert("a", severity="critical", suppressed_by=[{"reason": "silence", "by": 1}])
    (both,) = groups([quiet, an_alert("b", severity="info")])
    assert (both.worst["id"], both.suppressed, both.alerts) == ("b", 1, 2)
    (only,) = groups([quiet])
    assert only.worst["id"] == "a"


def test_a_storm_lists_its_gravest_and_counts_them_all() -> None:
    (storm,) = groups([an_alert(f"al-{n:04}", severity="info" if n else "critical") for n in range(500)])
    assert (storm.alerts, len(storm.ids), storm.ids[0]) == (500, LISTED, "al-0000")


ALERTS = st.lists(
    st.builds(
        an_alert,
        st.uuids().map(str),
        st.sampled_from(["hour_above_limit", "budget", "rows_dropped", "month_below_share"]),
        severity=st.sampled_from(SEVERITIES),
        site=st.sampled_from(["works", "mill", None]),
        state=st.sampled_from(["firing", "acknowledged"]),
        suppressed_by=st.sampled_from([None, [{"reason": "source_stopped"}]]),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(ALERTS, st.randoms(use_true_random=False))
def test_each_alert_is_in_one_group_whatever_the_order(alerts: list[dict[str, Any]], random: Any) -> None:
    found = groups(alerts)
    assert sorted(id_ for group in found for id_ in group.ids) == sorted(alert["id"] for alert in alerts)
    assert sum(sum(group.by_severity.values()) for group in found) == len(alerts)
    assert len({group.key for group in found}) == len(found)
    assert groups(random.sample(alerts, len(alerts))) == found
