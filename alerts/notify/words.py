"""The words of messages in English and Chinese: one table a language, no sentence anywhere else.

Leads are called leads, for a person to look at; no message speaks of a violation, which only an inspector finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alerts.rules.catalogue import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    severities: Mapping[str, str]
    groups: Mapping[str, str]  #: what alerts of a kind are called together
    todo: Mapping[str, str]  #: what to do about them
    subject: str
    again: str
    counts: str
    new: str
    over: str
    withdrawn: str
    standing: str
    already_over: str
    values: str
    above: str
    since: str
    period: str
    more: str
    lead: str
    itself: str
    link: str
    comma: str
    colon: str
    test_subject: str
    test_text: str


EN: Final = Words(
    severities={"info": "info", "warning": "warning", "major": "major", "critical": "critical"},
    groups={
        Group.EXCEEDANCE: "exceedances",
        Group.BUDGET: "budget warnings",
        Group.DATA: "data alerts",
        Group.INTEGRITY: "leads",
        Group.ORDER: "order alerts",
        Group.SYSTEM: "stackwatch itself",
    },
    todo={
        Group.EXCEEDANCE: "Check flags and marks of the hours, then acknowledge; open a case where it stands.",
        Group.BUDGET: "Ask the works what it changes before the month's allowed hours are used up.",
        Group.DATA: "Find out where the rows are: instrument, edge, network. Missing data is no compliance.",
        Group.INTEGRITY: "Leads are for a person to look at. A lead is a question, not a finding against anybody.",
        Group.ORDER: "Compare the order with what the unit does, and ask the works.",
        Group.SYSTEM: "Run `stackwatch doctor` on the installation.",
    },
    subject="[stackwatch] {severity}: {place}, {group} ({count})",
    again="still: ",
    counts="{new} new, {over} over, {withdrawn} withdrawn; {open} open now{by_severity}",
    new="New",
    over="Over",
    withdrawn="Withdrawn, because late data unmade it",
    standing="Still open",
    already_over="already over",
    values="{observed} {unit}, limit {limit}",
    above="{percent} % above",
    since="since {at}",
    period="{start} to {end} ({zone})",
    more="and {count} more",
    lead="lead",
    itself="stackwatch",
    link="Details",
    comma=", ",
    colon=":",
    test_subject="[stackwatch] test of receiver {name}",
    test_text="This is a test. Messages about alerts will come here.",
)

ZH: Final = Words(
    severities={"info": "提示", "warning": "警告", "major": "重要", "critical": "严重"},
    groups={
        Group.EXCEEDANCE: "超标告警",
        Group.BUDGET: "超标额度预警",
        Group.DATA: "数据告警",
        Group.INTEGRITY: "线索",
        Group.ORDER: "管控执行告警",
        Group.SYSTEM: "系统自身告警",
    },
    todo={
        Group.EXCEEDANCE: "请核对相应小时的数据标记与申报，确认告警；情况属实的按程序立案。",
        Group.BUDGET: "请在当月允许超标小时用尽之前，向企业了解整改措施。",
        Group.DATA: "请查明数据去向：仪器、数采设备、网络。缺数不等于达标。",
        Group.INTEGRITY: "线索供人工核查，只是疑问，不构成对任何单位的认定。",
        Group.ORDER: "请将管控指令与设施实际状态比对，并向企业核实。",
        Group.SYSTEM: "请在系统上运行 `stackwatch doctor`。",
    },
    subject="[stackwatch] {severity}：{place}，{group} {count} 条",
    again="持续：",
    counts="新增 {new} 条，结束 {over} 条，撤回 {withdrawn} 条；当前未结束 {open} 条{by_severity}",
    new="新增",
    over="已结束",
    withdrawn="撤回（后到数据使其不再成立）",
    standing="仍未结束",
    already_over="已结束",
    values="{observed} {unit}，限值 {limit}",
    above="超出 {percent} %",
    since="自 {at} 起",
    period="{start} 至 {end}（{zone}）",
    more="另有 {count} 条",
    lead="线索",
    itself="stackwatch 系统",
    link="详情",
    comma="，",
    colon="：",
    test_subject="[stackwatch] 接收端 {name} 测试",
    test_text="这是一条测试消息，告警通知将发送到这里。",
)

LANGUAGES: Final[Mapping[str, Words]] = {"en": EN, "zh": ZH}
