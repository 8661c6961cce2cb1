"""What the API says of the rules."""

from __future__ import annotations

import asyncio

import pytest

from alerts.rules import catalogue
from api.routes import rules
from api.routes.rules import rule_document
from api.schemas.rules import Rule


@pytest.mark.parametrize("name", catalogue.names())
def test_every_rule_has_a_document_as_documented(name: str) -> None:
    document = rule_document(name)
    assert Rule(**document).model_dump() == document
    assert document["says"]
    assert document["clause"]


def test_a_folded_rule_tells_how_its_alerts_live_and_a_lead_what_else_explains_it() -> None:
    constant = rule_document("constant")
    assert constant["kind"] == "folded"
    assert constant["lead"]
    assert constant["otherwise"]
    assert constant["life"]["hold_h"] >= 1
    hour = rule_document("hour_above_limit")
    assert (hour["life"], hour["lead"], hour["otherwise"]) == (None, False, None)


def test_the_measured_share_of_false_leads_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "false_per_stack_month", lambda: {"constant": 0.02})
    assert rule_document("constant")["false_per_stack_month"] == 0.02
    assert rule_document("edge_offline")["false_per_stack_month"] is None


def test_all_are_listed_at_once_in_their_order() -> None:
    answer = asyncio.run(rules.read_rules())
    assert [item["name"] for item in answer["items"]] == list(catalogue.names())
    assert answer["next"] is None
