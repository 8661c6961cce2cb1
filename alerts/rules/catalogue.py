"""Every rule by its name: what it is called, how it is judged, and whether it is only a lead.

A rule on the hours of a stack is a value in `RULES`; `alerts.review` judges them all and folds what they say into
alerts. The others have a shell of their own, which asks here for no more than their names. A new rule is a module, a
line in `RULES` and a line in `TITLES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from alerts.rules import (
    abatement_power_low,
    budget,
    bypass_open,
    calibration_overdue,
    claims_follow_values,
    comparison_overdue,
    conflicts,
    constant,
    data_missing,
    day_above_limit,
    dilution,
    hugging_the_limit,
    negative,
    ordered_state_left,
    out_of_range,
    oxygen_high,
    parameter_changed,
    permit_tonnage,
    power_swings,
    production_without_abatement,
    reported_hour_differs,
    sibling_identity,
    step,
    stopped_but_breathing,
)
from alerts.rules.explained import Explained, explained
from alerts.rules.rule import Rule
from plant.errors import NotFound

RULES: Final[tuple[Rule, ...]] = (
    day_above_limit.RULE,
    budget.RULE,
    permit_tonnage.RULE,
    data_missing.RULE,
    conflicts.RULE,
    out_of_range.RULE,
    negative.RULE,
    constant.RULE,
    step.RULE,
    hugging_the_limit.RULE,
    sibling_identity.RULE,
    oxygen_high.RULE,
    dilution.RULE,
    claims_follow_values.RULE,
    stopped_but_breathing.RULE,
    production_without_abatement.RULE,
    abatement_power_low.RULE,
    bypass_open.RULE,
    power_swings.RULE,
    calibration_overdue.RULE,
    comparison_overdue.RULE,
    parameter_changed.RULE,
    reported_hour_differs.RULE,
    ordered_state_left.RULE,
)
"""Folded over the hours of a stack, in the order in which they are listed to people."""

HOUR_RULES: Final = ("hour_above_limit", "irrecoverable_hour", "keep_below")
"""One alert an hour, found with the hour itself (`alerts.hours`)."""

MONTH_RULES: Final = ("month_below_share",)

EDGE_RULES: Final = ("edge_offline", "edge_backlog", "clock_skew", "rows_unexplained", "rows_dropped")
"""About the way from the plant to the database, judged at ticks (`alerts.edges`): they have no backtest."""

SYSTEM_RULES: Final = ("stage_silent", "receiver_dead")
"""About stackwatch itself."""


class Kind(StrEnum):
    """Who judges a rule."""

    FOLDED = "folded"
    HOUR = "hour"
    MONTH = "month"
    EDGE = "edge"
    SYSTEM = "system"


class Group(StrEnum):
    """What a person who has little time looks for: alerts of one site are listed by it."""

    EXCEEDANCE = "exceedance"
    BUDGET = "budget"
    DATA = "data"
    INTEGRITY = "integrity"
    ORDER = "order"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Title:
    """How people call a rule."""

    group: Group
    en: str
    zh: str
    severities: tuple[str, ...] = ("warning",)  #: that the rule gives, the lightest first; time may add one


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInfo:
    """What the API, the page and the manual say of a rule."""

    name: str
    kind: Kind
    group: Group
    lead: bool  #: a lead for a person, no exceedance
    title: str
    title_zh: str
    severities: tuple[str, ...]


TITLES: Final = {
    "hour_above_limit": Title(
        Group.EXCEEDANCE, "Hour above the limit", "小时均值超过限值", ("warning", "major", "critical")
    ),
    "irrecoverable_hour": Title(
        Group.EXCEEDANCE, "Hour that can no longer be saved", "本小时已无法达标", ("warning", "major", "critical")
    ),
    "keep_below": Title(
        Group.EXCEEDANCE, "Hour that will end above the limit at this level", "按当前浓度本小时将超标", ("info",)
    ),
    "day_above_limit": Title(Group.EXCEEDANCE, "Day above the limit", "日均值超过限值", ("warning", "major")),
    "budget": Title(
        Group.BUDGET,
        "The month's allowed hours go too fast",
        "当月允许超标小时消耗过快",
        ("info", "warning", "major", "critical"),
    ),
    "month_below_share": Title(Group.BUDGET, "Month below its share", "当月达标率不足", ("major",)),
    "permit_tonnage": Title(
        Group.BUDGET, "The year's permitted mass goes too fast", "年许可排放量消耗过快", ("info", "warning", "major")
    ),
    "data_missing": Title(Group.DATA, "Data missing", "数据缺失", ("warning", "major")),
    "edge_offline": Title(Group.DATA, "Edge offline", "数采设备离线", ("warning", "major")),
    "edge_backlog": Title(Group.DATA, "Edge holds rows back", "数采设备积压数据"),
    "clock_skew": Title(Group.DATA, "Clock of an edge is wrong", "数采设备时钟偏差"),
    "rows_unexplained": Title(Group.DATA, "Rows missing without a reason", "数据去向不明", ("major",)),
    "rows_dropped": Title(Group.DATA, "Rows dropped by an outbox", "数采设备丢弃数据"),
    "conflicts": Title(Group.INTEGRITY, "Two values for one row", "同一记录出现两个数值"),
    "out_of_range": Title(Group.INTEGRITY, "Value outside its range", "数值超出量程"),
    "negative": Title(Group.INTEGRITY, "Value below zero for long", "长时间负值"),
    "constant": Title(Group.INTEGRITY, "Value does not move", "数据恒值"),
    "step": Title(Group.INTEGRITY, "Value jumps, its process does not", "数据突变而工况未变"),
    "hugging_the_limit": Title(Group.INTEGRITY, "Hours stay just below the limit", "数据长期贴近限值"),
    "sibling_identity": Title(Group.INTEGRITY, "Two instruments show the same", "两台仪器数据雷同", ("major",)),
    "oxygen_high": Title(Group.INTEGRITY, "Oxygen high or flat", "含氧量偏高或恒定"),
    "dilution": Title(Group.INTEGRITY, "Sample or gas diluted", "疑似稀释采样或烟气"),
    "claims_follow_values": Title(
        Group.INTEGRITY, "Flags and marks come when values rise", "数值升高时集中标记", ("major",)
    ),
    "stopped_but_breathing": Title(
        Group.INTEGRITY, "Marked stopped and still running", "标记停运但仍在排放", ("warning", "major")
    ),
    "production_without_abatement": Title(
        Group.INTEGRITY, "Production on, abatement off", "生产运行而治污设施停运", ("major",)
    ),
    "abatement_power_low": Title(Group.INTEGRITY, "Abatement draws less power than it did", "治污设施用电异常偏低"),
    "bypass_open": Title(Group.INTEGRITY, "Bypass of the abatement open", "治污设施旁路开启", ("major",)),
    "power_swings": Title(Group.INTEGRITY, "Power surges at night", "夜间用电异常波动"),
    "calibration_overdue": Title(Group.INTEGRITY, "Calibration overdue", "校准逾期"),
    "comparison_overdue": Title(Group.INTEGRITY, "Comparison overdue", "比对监测逾期"),
    "parameter_changed": Title(Group.INTEGRITY, "Instrument parameter changed", "仪器参数变更"),
    "reported_hour_differs": Title(
        Group.INTEGRITY, "Reported hour differs from ours", "上报小时值与计算值不符", ("info", "warning", "major")
    ),
    "ordered_state_left": Title(
        Group.ORDER, "Ordered state not reached or left", "未达到或擅离管控状态", ("warning", "major")
    ),
    "stage_silent": Title(Group.SYSTEM, "The rule stage was silent", "规则引擎中断", ("critical",)),
    "receiver_dead": Title(Group.SYSTEM, "A receiver of notifications is dead", "通知接收端失效", ("major",)),
}


def about(name: str) -> RuleInfo:
    """What is known of the rule *name*; `NotFound` where there is none."""
    kind, title = _KINDS.get(name), TITLES.get(name)
    if kind is None or title is None:
        raise NotFound(f"there is no rule {name!r}")
    lead = name in _LEADS
    return RuleInfo(
        name=name,
        kind=kind,
        group=title.group,
        lead=lead,
        title=title.en,
        title_zh=title.zh,
        severities=title.severities,
    )


def names() -> tuple[str, ...]:
    """Of every rule, in the order in which they are listed."""
    return tuple(name for name in TITLES if name in _KINDS)


def in_words(name: str) -> Explained:
    """What the manual of the rule says, which is the docstring of its module."""
    return explained(_ELSEWHERE.get(name, f"alerts.rules.{about(name).name}"))


def folded(name: str) -> Rule | None:
    """The rule *name* where it is one of `RULES`."""
    return next((rule for rule in RULES if rule.name == name), None)


_ELSEWHERE: Final = {"stage_silent": "alerts.deadman"}  # where a rule has no module of its own among these
_LEADS: Final = frozenset(rule.name for rule in RULES if rule.lead)
_KINDS: Final = (
    {rule.name: Kind.FOLDED for rule in RULES}
    | dict.fromkeys(HOUR_RULES, Kind.HOUR)
    | dict.fromkeys(MONTH_RULES, Kind.MONTH)
    | dict.fromkeys(EDGE_RULES, Kind.EDGE)
    | dict.fromkeys(SYSTEM_RULES, Kind.SYSTEM)
)
