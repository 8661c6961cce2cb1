"""What makes an open alert quiet, for whom, and what never does."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules.catalogue import Group, about, names
from alerts.suppression import EXCEEDANCES, PLANT_MAY_SILENCE, Circumstances, Open, Quiet, Silence, quiet

STOPPED: Final = Circumstances(stopped={"DA001"})


def an_open(rule: str = "hour_above_limit", alert_id: str = "al-1", **others: Any) -> Open:
    fields: dict[str, Any] = {
        "severity": "major",
        "region": "hebei",
        "site": "works",
        "stack": "DA001",
        "pollutant": "so2",
        "pack": "cn-steel-ule-2019",
        "month": "2026-11",
        "edge": None,
        "said": True,
    }
    return Open(alert_id=alert_id, rule=rule, **{**fields, **others})


def a_silence(silence_id: int = 1, **others: Any) -> Silence:
    fields: dict[str, Any] = {
        "by_plant": False,
        "region": None,
        "site": "works",
        "stack": None,
        "rules": (),
        "severities": (),
    }
    return Silence(silence_id=silence_id, **{**fields, **others})


def reasons(alert: Open, here: Circumstances, *others: Open) -> list[str]:
    return [reason["reason"] for reason in quiet([alert, *others], here)[alert.alert_id].reasons]


def by_silence(alert: Open, silence: Silence) -> bool:
    return reasons(alert, Circumstances(silences=(silence,))) == ["silence"]


def test_an_alert_without_a_reason_is_heard() -> None:
    assert quiet([an_open()], Circumstances()) == {"al-1": Quiet()}


def test_a_source_that_stands_still_silences_its_exceedances_and_not_those_of_another_stack() -> None:
    for rule in EXCEEDANCES:
        assert reasons(an_open(rule), STOPPED) == ["source_stopped"], rule
    assert reasons(an_open(stack="DA002"), STOPPED) == []


def test_what_a_plant_says_of_itself_keeps_nobody_from_hearing_of_an_exceedance() -> None:
    fresh = an_open(said=False)
    assert reasons(fresh, STOPPED) == []
    assert by_silence(fresh, a_silence()), "a person's word holds at once"


@pytest.mark.parametrize("rule", [name for name in names() if about(name).group in (Group.INTEGRITY, Group.ORDER)])
def test_nothing_but_a_silence_ever_quiets_a_rule_of_integrity_or_of_an_order(rule: str) -> None:
    everything = [an_open(name, f"al-{name}", edge="e1") for name in names()]
    here = Circumstances(stopped={"DA001"}, fed_by={"DA001": frozenset({"e1"})})
    assert quiet(everything, here)[f"al-{rule}"] == Quiet()


def test_a_stop_that_the_stack_gives_the_lie_silences_nothing() -> None:
    assert reasons(an_open(), STOPPED, an_open("stopped_but_breathing", "al-2")) == []
    assert reasons(an_open(), STOPPED, an_open("stopped_but_breathing", "al-2", stack="DA002")) == ["source_stopped"]


def test_a_breached_month_silences_the_budget_of_that_series_in_that_month() -> None:
    month = an_open("month_below_share", "al-month")
    found = quiet([an_open("budget"), month], Circumstances())
    assert found["al-1"].reasons == ({"reason": "month_breached", "by": "al-month"},)
    assert found["al-month"] == Quiet()
    for other in ({"pollutant": "nox"}, {"month": "2026-10"}, {"stack": "DA002"}, {"pack": "cn-gb28662-special"}):
        assert reasons(an_open("budget", **other), Circumstances(), month) == [], other


def test_missing_data_is_said_with_the_edge_only_if_all_edges_that_feed_the_stack_are_offline() -> None:
    missing, first = an_open("data_missing"), an_open("edge_offline", "al-e1", stack=None, edge="e1")
    second = an_open("edge_offline", "al-e2", stack=None, edge="e2")
    both = Circumstances(fed_by={"DA001": frozenset({"e1", "e2"})})
    assert reasons(missing, both, first) == []
    assert reasons(missing, both, first, second) == ["edge_offline"]
    assert reasons(missing, Circumstances(), first, second) == []
    assert reasons(an_open("constant"), both, first, second) == []


@pytest.mark.parametrize(
    "other",
    [{"region": "shanxi"}, {"site": "mill"}, {"stack": "DA002"}, {"rules": ("budget",)}, {"severities": ("info",)}],
    ids=lambda other: next(iter(other)),
)
def test_a_silence_is_for_what_has_all_that_it_names(other: dict[str, Any]) -> None:
    same: dict[str, Any] = {
        "region": "hebei",
        "stack": "DA001",
        "rules": ("hour_above_limit",),
        "severities": ("major",),
    }
    assert by_silence(an_open(), a_silence(**same))
    assert not by_silence(an_open(), a_silence(**{**same, **other}))


def test_a_plants_own_silence_is_no_reason_for_anybody_else() -> None:
    own = a_silence(2, by_plant=True, rules=tuple(PLANT_MAY_SILENCE))
    found = quiet([an_open("data_missing")], Circumstances(silences=(own,)))
    assert found["al-1"] == Quiet((), plant_silence=2)


def test_an_alert_keeps_all_its_reasons() -> None:
    here = Circumstances(stopped={"DA001"}, silences=(a_silence(9), a_silence(4)))
    assert quiet([an_open()], here)["al-1"].reasons == (
        {"reason": "source_stopped"},
        {"reason": "silence", "by": 4},
        {"reason": "silence", "by": 9},
    )


RULES: Final = st.sampled_from(sorted({*EXCEEDANCES, "month_below_share", "data_missing", "edge_offline", "constant"}))


@settings(deadline=None)
@given(st.lists(RULES, max_size=8), st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_alerts_are_listed_decides_nothing(rules: list[str], random: Any, stopped: bool) -> None:
    alerts = [an_open(rule, f"al-{n}", edge="e1") for n, rule in enumerate(rules)]
    here = Circumstances(
        stopped={"DA001"} if stopped else (),
        fed_by={"DA001": frozenset({"e1"})},
        silences=(a_silence(rules=("constant",)),),
    )
    shuffled = random.sample(alerts, len(alerts))
    assert quiet(alerts, here) == quiet(shuffled, here)
