"""The rules: what each says and does not say, and how often it is wrong."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from alerts.rules.catalogue import about, folded, in_words, names
from alerts.rules.explained import false_per_stack_month
from alerts.rules.rule import Rule
from api.auth import ANYBODY
from api.schemas.common import Page
from api.schemas.rules import Rule as RuleModel

router = APIRouter(tags=["about"], dependencies=[ANYBODY])


@router.get("/rules", response_model=Page[RuleModel])
async def read_rules() -> Any:
    """Every rule that may open an alert: its name, what it is about, how its alerts live, how often it is wrong."""
    return {"items": [rule_document(name) for name in names()], "next": None}


def rule_document(name: str) -> dict[str, Any]:
    info, words, rule = about(name), in_words(name), folded(name)
    return {
        "name": name,
        "kind": info.kind,
        "group": info.group,
        "title": info.title,
        "title_zh": info.title_zh,
        "lead": info.lead,
        "severities": list(info.severities),
        "says": words.says,
        "why": words.why,
        "not_for": words.not_for,
        "otherwise": words.otherwise or None,
        "clause": rule.clause if rule is not None else words.source,
        "unit": None if rule is None else rule.unit,
        "life": None if rule is None else _life(rule),
        "false_per_stack_month": false_per_stack_month().get(name),
    }


def _life(rule: Rule) -> dict[str, int | None]:
    life = rule.life
    return {
        "hold_h": life.hold_h,
        "keep_h": life.keep_h,
        "escalate_after_h": life.escalate_after_h,
        "step_down_after_h": life.step_down_after_h,
    }
