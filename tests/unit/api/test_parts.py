"""Small parts that decide: scopes, health words, hours of a mark, the text of a metric."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.auth import Access, Unauthenticated
from api.exposition import metric
from api.lookup import local_hour, main_pack
from api.routes.health import judge
from api.routes.sites import MONTH_WORDS, worst
from plant.errors import RoleMissing
from store.health import Beat
from store.marks import hours_touched
from store.principals import Principal
from store.scope import Scope

CHINA = "Asia/Shanghai"
INDIA = "Asia/Kolkata"


def a_principal(*roles: str, sites: tuple[str, ...] = (), regions: tuple[str, ...] = ()) -> Principal:
    return Principal(
        principal_id=1, name="x", roles=frozenset(roles), sites=frozenset(sites), regions=frozenset(regions)
    )


def test_nobody_is_the_public_and_must_sign_in_for_more() -> None:
    nobody = Access(None)
    assert nobody.scope == Scope(public=True)
    with pytest.raises(Unauthenticated):
        nobody.having("watch")


def test_a_role_is_needed_and_one_of_several_is_enough() -> None:
    access = Access(a_principal("watch", "operator"))
    assert access.having("decider", "operator").name == "x"
    with pytest.raises(RoleMissing, match="decider"):
        access.having("decider")


def test_sites_and_regions_narrow_together_and_an_empty_list_does_not() -> None:
    both = a_principal("watch", sites=("a", "b"), regions=("north",)).scope
    assert both.holds("a", "north")
    assert not both.holds("a", "south")
    assert not both.holds("c", "north")
    assert a_principal("auditor").scope.holds("any", "where")


def a_beat(age_s: float, *, ok: bool = True, instance: str = "one") -> Beat:
    return Beat(component="stage", instance=instance, age_s=age_s, ok=ok, detail={})


@pytest.mark.parametrize(
    ("beats", "ok"),
    [
        pytest.param([a_beat(14.9)], True, id="young"),
        pytest.param([a_beat(15.0)], False, id="fifteen_seconds_is_too_old"),
        pytest.param([a_beat(1, ok=False)], False, id="unwell"),
        pytest.param([a_beat(1, ok=False), a_beat(2, instance="two")], True, id="one_of_two_is_enough"),
        pytest.param([a_beat(1, ok=False), a_beat(99, instance="two")], False, id="an_old_good_word_does_not_count"),
        pytest.param([], False, id="never"),
        pytest.param(None, False, id="unknown"),
    ],
)
def test_a_part_is_well_while_an_instance_beats(beats: list[Beat] | None, ok: bool) -> None:
    check = judge("stage", "the rule stage", beats)
    assert check["ok"] is ok
    assert check["detail"].startswith("the rule stage")


def test_a_mark_touches_the_local_hours_that_it_shares_an_instant_with() -> None:
    start = datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    hour = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
    assert hours_touched(start, start + timedelta(minutes=30), CHINA) == [hour]
    assert hours_touched(start, start + timedelta(minutes=31), CHINA) == [hour, hour + timedelta(hours=1)]
    assert hours_touched(hour, hour + timedelta(hours=2), CHINA) == [hour, hour + timedelta(hours=1)]


def test_where_the_clock_is_off_by_half_an_hour_so_are_the_hours() -> None:
    at = datetime(2026, 11, 20, 0, 45, tzinfo=UTC)
    assert hours_touched(at, at + timedelta(minutes=1), INDIA) == [datetime(2026, 11, 20, 0, 30, tzinfo=UTC)]
    assert local_hour(at, INDIA) == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)


def test_an_operator_looks_first_at_the_pack_with_a_monthly_share() -> None:
    assert main_pack({"packs": ["cn-gb28662-special", "cn-steel-ule-2019"]}) == "cn-steel-ule-2019"
    assert main_pack({"packs": ["cn-gb28662-special"]}) == "cn-gb28662-special"


def test_the_worst_word_counts() -> None:
    assert worst({"clear", "undecided"}, MONTH_WORDS) == "undecided"
    assert worst((), MONTH_WORDS) is None


def test_a_metric_escapes_what_labels_may_not_hold() -> None:
    text = metric("x_ok", "gauge", "About", [({"instance": 'a"b\\c\nd'}, 1), ({}, 0.5)])
    assert text == (
        "# HELP stackwatch_x_ok About.\n# TYPE stackwatch_x_ok gauge\n"
        'stackwatch_x_ok{instance="a\\"b\\\\c\\nd"} 1\nstackwatch_x_ok 0.5\n'
    )
