from __future__ import annotations

import re
from importlib import resources
from typing import get_args

from alerts.rules.catalogue import Group
from alerts.suppression import Reason
from api.routes.pages import FILES
from api.schemas.reconciliation import Cause
from edge.sources import KINDS
from edge.status_words import WORDS
from store.alerts import SEVERITIES, STATES


def text_of(name: str) -> str:
    return resources.files("api.pages").joinpath(name).read_text(encoding="utf-8")


def words_of(language: str) -> set[str]:
    block = re.search(rf"^  {language}: {{\n(.*?)^  }},$", text_of("words.js"), re.S | re.M)
    assert block is not None
    return set(re.findall(r"(?:^|, )\s*(\w+): \"", block[1], re.M))


def test_every_word_is_there_in_both_languages() -> None:
    english, chinese = words_of("en"), words_of("zh")
    assert len(english) > 80
    assert english == chinese


def test_every_word_that_the_page_names_is_in_the_list() -> None:
    named = set(re.findall(r'data-word="(\w+)"', text_of("index.html")))
    for name in FILES:
        named |= set(re.findall(r'\bword\("(\w+)"', text_of(name)))
    assert len(named) > 60
    assert named <= words_of("en")


def test_states_and_severities_have_words() -> None:
    assert {*STATES, *SEVERITIES} <= words_of("en")


def test_kinds_of_alerts_and_reasons_to_be_quiet_have_words() -> None:
    english = words_of("en")
    assert {f"group_{group}" for group in Group} <= english
    assert {f"quiet_{reason}" for reason in Reason} <= english


def test_kinds_of_source_their_figures_and_causes_of_differences_have_words() -> None:
    english = words_of("en")
    assert {f"kind_{kind.replace('.', '_')}" for kind in KINDS} <= english
    assert {name for name in WORDS["en"] if name.startswith("figure_")} <= english
    assert {f"cause_{cause}" for cause in get_args(Cause)} <= english


def test_every_file_of_the_page_is_served_and_imports_only_what_is() -> None:
    there = {
        entry.name for entry in resources.files("api.pages").iterdir() if entry.name.endswith((".js", ".css", ".html"))
    }
    assert there == set(FILES)
    for name in FILES:
        assert set(re.findall(r'^import .* from "\./(.+)";$', text_of(name), re.M)) <= there


def test_the_page_runs_nothing_inline_and_sets_no_markup() -> None:
    page = text_of("index.html")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son\w+=|\sstyle=", page)
    for name in FILES:
        assert "innerHTML" not in text_of(name)
        assert "insertAdjacentHTML" not in text_of(name)


def test_the_token_never_stands_in_a_query() -> None:
    for name in ("app.js", "live.js"):
        assert not re.search(r"[?&]token=", text_of(name))
