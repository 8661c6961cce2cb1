"""How well a rule engine did on a labelled scenario: its alerts against the truth file.

Alerts are the documents of `GET /v1/alerts`, whoever made them. By rule: how many findings were *planted*, how many of
those were *found*, how many alerts stand where nothing was planted (*false*).

- `hour_above_limit` is decided by figures: planted is every hour that the shown rows breach; false is any other alert.
- `irrecoverable_hour`: false is an alert in an hour that ended clear, by the alert's own word or by the figures: the
  rows shown of an hour neither breached nor undecided. None is planted: whether an hour is lost before it ends depends
  on its minutes.
- Every other rule: planted is a fault that must cause it. It is found by an alert of that rule, site and stack that
  meets the fault; an alert is false where it meets no fault that must or may cause it. A fault that shows the values
  of another stack befalls both.
- `budget` and `month_below_share` follow from hours above, `keep_below` from minutes; where the month of the series has
  an hour above, or for `keep_below` in any case, they are no false ones: nobody planted them, the figures decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

BEFORE: Final = timedelta(hours=1)
AFTER: Final = timedelta(hours=25)
"""An alert meets a fault where it begins within a day behind its end: habits and histories are judged over days."""

_BY_HOUR: Final = "hour_above_limit"
_LOST: Final = "irrecoverable_hour"
_FROM_HOURS: Final = frozenset({"budget", "month_below_share"})
_FROM_MINUTES: Final = frozenset({"keep_below"})


Hour = tuple[str, str, str, str, datetime]  #: site, stack, pack, pollutant, start


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one rule."""

    planted: int = 0
    found: int = 0
    alerts: int = 0
    false: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the alerts that stand where something was planted; None without an alert."""
        return (self.alerts - self.false) / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Share of what was planted that was found; None where nothing was."""
        return self.found / self.planted if self.planted else None

    def __add__(self, other: Score) -> Score:
        return Score(
            planted=self.planted + other.planted,
            found=self.found + other.found,
            alerts=self.alerts + other.alerts,
            false=self.false + other.false,
        )


def score(truth: Mapping[str, Any], alerts: Iterable[Mapping[str, Any]]) -> dict[str, Score]:
    """By rule, of every rule that was planted or that alerted."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for alert in alerts:
        by_rule.setdefault(alert["rule"], []).append(alert)
    faults: Sequence[Mapping[str, Any]] = truth["faults"]
    must = {rule for fault in faults for rule in fault["rules"]}
    breached = _hours(truth, "breached")
    scores = {rule: _of_faults(rule, by_rule.get(rule, []), faults) for rule in sorted(must | by_rule.keys())}
    scores[_BY_HOUR] = _of_hours(by_rule.get(_BY_HOUR, []), breached)
    if _LOST in by_rule:
        not_clear = breached | _hours(truth, "undecided")
        wrong = sum(_ended_clear(alert, not_clear) for alert in by_rule[_LOST])
        scores[_LOST] = Score(alerts=len(by_rule[_LOST]), false=wrong)
    months = {(site, stack, pack, pollutant) for site, stack, pack, pollutant, _ in breached}
    for rule in _FROM_HOURS & by_rule.keys():
        wrong = sum(_hour_of(alert)[:4] not in months for alert in by_rule[rule])
        scores[rule] = Score(alerts=len(by_rule[rule]), false=wrong)
    for rule in _FROM_MINUTES & by_rule.keys():
        scores[rule] = Score(alerts=len(by_rule[rule]))
    return scores


def stack_months(truth: Mapping[str, Any]) -> float:
    """How much was watched, in months of 30 days of one stack."""
    month = timedelta(days=30)
    return sum((_at(site["to"]) - _at(site["from"])) / month * len(site["stacks"]) for site in truth["sites"])


def false_alerts(truth: Mapping[str, Any], alerts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that nothing planted explains: what whoever writes a rule wants to look at."""
    breached = _hours(truth, "breached")
    not_clear = breached | _hours(truth, "undecided")
    months = {key[:4] for key in breached}
    wrong = []
    for alert in alerts:
        rule = alert["rule"]
        if rule == _BY_HOUR:
            explained = _hour_of(alert) in breached
        elif rule == _LOST:
            explained = not _ended_clear(alert, not_clear)
        elif rule in _FROM_HOURS:
            explained = _hour_of(alert)[:4] in months
        else:
            explained = rule in _FROM_MINUTES or _explained(alert, truth["faults"])
        if not explained:
            wrong.append(alert)
    return wrong


def missed_faults(truth: Mapping[str, Any], alerts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What was planted and not found: the rule, and the fault or the hour."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for alert in alerts:
        by_rule.setdefault(alert["rule"], []).append(alert)
    missed: list[Mapping[str, Any]] = [
        {"rule": rule} | {name: fault[name] for name in ("id", "kind", "stack", "channel", "start", "end")}
        for fault in truth["faults"]
        for rule in fault["rules"]
        if rule != _BY_HOUR and not any(_meets(alert, fault) for alert in by_rule.get(rule, ()))
    ]
    lost = _hours(truth, "breached") - {_hour_of(alert) for alert in by_rule.get(_BY_HOUR, ())}
    return missed + [{"rule": _BY_HOUR, "hour": hour} for hour in sorted(lost)]


def _hours(truth: Mapping[str, Any], verdict: str) -> set[Hour]:
    """Each hour to which the shown rows give *verdict*."""
    return {
        (site["site"], stack["stack"], hours["pack"], hours["pollutant"], _at(start))
        for site in truth["sites"]
        for stack in site["stacks"]
        for hours in stack["hours"]
        for start in hours["shown"][verdict]
    }


def _ended_clear(lost: Mapping[str, Any], not_clear: set[Hour]) -> bool:
    """Whether an hour that was called lost was not."""
    ended = lost["evidence"].get("ended") or {}
    return ended.get("verdict") == "clear" or _hour_of(lost) not in not_clear


def _hour_of(alert: Mapping[str, Any]) -> Hour:
    return (alert["site"], alert["stack"], alert["pack"], alert["pollutant"], _at(alert["period_start"]))


def _of_hours(alerts: Sequence[Mapping[str, Any]], breached: set[Hour]) -> Score:
    hours = {_hour_of(alert) for alert in alerts}
    return Score(
        planted=len(breached),
        found=len(breached & hours),
        alerts=len(alerts),
        false=len(alerts) - len(hours & breached),
    )


def _of_faults(rule: str, alerts: Sequence[Mapping[str, Any]], faults: Sequence[Mapping[str, Any]]) -> Score:
    planted = [fault for fault in faults if rule in fault["rules"]]
    found = sum(any(_meets(alert, fault) for alert in alerts) for fault in planted)
    wrong = sum(not _explained(alert, faults) for alert in alerts)
    return Score(planted=len(planted), found=found, alerts=len(alerts), false=wrong)


def _explained(alert: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> bool:
    names = ("rules", "rules_by_clock", "may")
    causes = (fault for fault in faults if any(alert["rule"] in fault[name] for name in names))
    return any(_meets(alert, fault) for fault in causes)


def _meets(alert: Mapping[str, Any], fault: Mapping[str, Any]) -> bool:
    befallen = (fault["stack"], fault["source"]) if fault["stack"] is not None else (alert["stack"],)
    if alert["site"] != fault["site"] or alert["stack"] not in befallen:
        return False
    start, end = _at(alert["period_start"]), _at(alert["period_end"])
    return start < _at(fault["end"]) + AFTER and end > _at(fault["start"]) - BEFORE


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
