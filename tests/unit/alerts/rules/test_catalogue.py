"""The catalogue of rules: every rule has one place, a title in two languages and its headings."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

import pytest

from alerts import edges, hours
from alerts.rules import catalogue, explained
from alerts.rules.catalogue import EDGE_RULES, HOUR_RULES, MONTH_RULES, RULES, SYSTEM_RULES, TITLES, Kind, about
from alerts.rules.rule import SEVERITIES, VERDICT_REACH_H
from plant.errors import NotFound

LEVELS: Final = {severity.upper(): severity for severity in SEVERITIES}
FOLDED: Final = {rule.name: rule for rule in RULES}
ALL: Final = [*FOLDED, *HOUR_RULES, *MONTH_RULES, *EDGE_RULES, *SYSTEM_RULES]


def test_every_rule_has_one_place_and_one_title() -> None:
    assert len(ALL) == len(set(ALL))
    assert set(ALL) == set(TITLES)
    assert set(catalogue.names()) == set(ALL)


def test_every_module_that_is_a_rule_is_in_the_catalogue() -> None:
    folder = Path(catalogue.__file__).parent
    judging = {
        path.stem
        for path in folder.glob("*.py")
        if hasattr(module := importlib.import_module(f"alerts.rules.{path.stem}"), "RULE") or hasattr(module, "NAME")
    }
    assert judging | {"stage_silent"} == set(ALL)


def test_what_the_shells_judge_is_what_the_catalogue_lists() -> None:
    assert set(hours.HOUR_RULES) == set(HOUR_RULES)
    assert {*edges.RULES, *edges.OF_STATES, *edges.OF_FRAMES} == set(EDGE_RULES)


@pytest.mark.parametrize("name", ALL)
def test_a_rule_explains_itself(name: str) -> None:
    words = catalogue.in_words(name)
    assert all((words.says, words.why, words.not_for, words.source))
    info = about(name)
    if info.lead:
        assert words.otherwise, "a lead says what else explains it"
    assert info.title[0].isupper()
    assert not info.title_zh.isascii()


@pytest.mark.parametrize("name", ALL)
def test_severities_are_listed_the_lightest_first(name: str) -> None:
    grades = [SEVERITIES.index(severity) for severity in about(name).severities]
    assert grades == sorted(set(grades))
    assert grades


@pytest.mark.parametrize("name", sorted(FOLDED))
def test_a_folded_rule_gives_the_severities_that_are_listed(name: str) -> None:
    module = importlib.import_module(f"alerts.rules.{name}")
    given = {severity for level, severity in LEVELS.items() if hasattr(module, level)} or {"warning"}
    assert given == set(about(name).severities)


@pytest.mark.parametrize("name", sorted(FOLDED))
def test_a_folded_rule_reaches_no_further_than_a_history_does(name: str) -> None:
    rule = FOLDED[name]
    assert 0 <= rule.reach_h <= VERDICT_REACH_H
    assert rule.clause


def test_kinds_are_told_apart_and_what_nobody_knows_is_not_found() -> None:
    assert about("hour_above_limit").kind is Kind.HOUR
    assert about("budget").kind is Kind.FOLDED
    assert about("rows_dropped").kind is Kind.EDGE
    assert not about("budget").lead
    assert about("constant").lead
    with pytest.raises(NotFound, match="no rule 'nothing'"):
        about("nothing")


def test_a_docstring_is_read_by_its_headings() -> None:
    words = explained.explained("alerts.rules.keep_below")
    assert words.says.startswith("at the level of its last five valid minutes the hour would end above the limit")
    assert "\n" not in words.says
    assert words.source.endswith("[D].")
    assert not words.otherwise
    assert explained.explained("alerts.rules.finding") == explained.Explained()


def test_shares_of_false_leads_are_of_rules_that_exist() -> None:
    assert set(explained.false_per_stack_month()) <= set(ALL)
