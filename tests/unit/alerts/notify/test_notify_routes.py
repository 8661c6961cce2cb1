"""Which route takes an alert, and who must not hear of it whatever the routes say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from alerts.notify.routes import SYSTEM, Hearer, Route, route_for, route_from, settings_of, subject_of
from fakes.alert_documents import alert_document

ALL = Route(name="all")
HEARER = Hearer(receiver_id=1, routes=(ALL,), system=False, sites=frozenset(), regions=frozenset())


def taken(route: Route, **document: Any) -> bool:
    hearer = replace(HEARER, routes=(route,))
    return route_for(hearer, subject_of(alert_document(**document))) is not None


def test_a_route_without_conditions_takes_everything_about_sites() -> None:
    assert taken(ALL)
    assert taken(ALL, rule="constant", severity="info", pack=None)


@pytest.mark.parametrize(
    ("route", "inside", "outside"),
    [
        pytest.param({"regions": ("hebei",)}, {"region": "hebei"}, {"region": "shanxi"}, id="region"),
        pytest.param({"sites": ("works",)}, {"site": "works"}, {"site": "mill"}, id="site"),
        pytest.param({"at_least": "major"}, {"severity": "critical"}, {"severity": "warning"}, id="severity"),
        pytest.param({"at_least": "major"}, {"severity": "major"}, {"severity": "info"}, id="just_that_severity"),
        pytest.param({"rules": ("keep_below",)}, {"rule": "keep_below"}, {"rule": "hour_above_limit"}, id="rule"),
        pytest.param({"groups": ("integrity",)}, {"rule": "constant"}, {"rule": "hour_above_limit"}, id="group"),
        pytest.param({"tracks": ("ule",)}, {"pack": "cn-steel-ule-2019"}, {"rule": "constant", "pack": None}, id="ule"),
        pytest.param({"tracks": ("evasion",)}, {"rule": "constant", "pack": None}, {}, id="evasion"),
    ],
)
def test_a_condition_narrows(route: dict[str, Any], inside: dict[str, Any], outside: dict[str, Any]) -> None:
    assert taken(Route(name="r", **route), **inside)
    assert not taken(Route(name="r", **route), **outside)


def test_a_statutory_limit_is_on_its_own_track() -> None:
    document = alert_document(pack="cn-gb28662-special")
    assert subject_of(document).tracks == {"statutory"}


def test_missing_data_is_on_no_track() -> None:
    assert subject_of(alert_document(rule="data_missing", pack=None)).tracks == frozenset()


def test_the_first_route_that_matches_counts() -> None:
    grave, rest = Route(name="grave", at_least="critical"), Route(name="rest")
    hearer = replace(HEARER, routes=(grave, rest))
    assert route_for(hearer, subject_of(alert_document(severity="critical"))) is grave
    assert route_for(hearer, subject_of(alert_document(severity="info"))) is rest
    assert route_for(replace(HEARER, routes=(rest, grave)), subject_of(alert_document(severity="critical"))) is rest


def test_no_route_reaches_beyond_the_scope_of_who_made_the_receiver() -> None:
    hearer = replace(HEARER, regions=frozenset({"shanxi"}))
    assert route_for(hearer, subject_of(alert_document(region="hebei"))) is None
    hearer = replace(HEARER, sites=frozenset({"mill"}))
    assert route_for(hearer, subject_of(alert_document(site="works"))) is None
    assert route_for(hearer, subject_of(alert_document(site="mill"))) is ALL


def about_itself(**evidence: Any) -> dict[str, Any]:
    return alert_document(rule="receiver_dead", site=None, region=None, stack=None, pack=None, evidence=evidence)


def test_only_administrators_hear_about_stackwatch_itself_even_without_a_route_for_it() -> None:
    dead = subject_of(about_itself(receiver_id=7))
    assert route_for(HEARER, dead) is None
    exceedances = Route(name="exceedances", groups=("exceedance",))
    assert route_for(replace(HEARER, system=True, routes=(exceedances,)), dead) is SYSTEM
    own = Route(name="own", groups=("system",))
    assert route_for(replace(HEARER, system=True, routes=(own,)), dead) is own


def test_nobody_is_told_of_his_own_death() -> None:
    assert route_for(replace(HEARER, system=True), subject_of(about_itself(receiver_id=1))) is None
    assert route_for(replace(HEARER, system=True), subject_of(about_itself(receiver_id=2))) is ALL


def test_the_silence_of_the_stage_is_about_no_receiver() -> None:
    silent = alert_document(rule="stage_silent", site=None, region=None, stack=None, pack=None)
    assert route_for(replace(HEARER, system=True), subject_of(silent)) is ALL


def test_a_route_is_the_same_after_it_was_stored() -> None:
    route = Route(name="r", sites=("works",), tracks=("ule", "deadline"), repeat_s=None, resolved=False)
    assert route_from(json.loads(json.dumps(route.document()))) == route


def test_a_route_is_found_by_its_name_until_it_is_taken_away() -> None:
    assert settings_of((ALL,), "all") is ALL
    assert settings_of((ALL,), "gone") is None
    assert settings_of((ALL,), SYSTEM.name) is SYSTEM
