"""Redoing an alert of a folded rule: the rule is asked again about the history in the file, and folded again. Pure.

What is not redone from the rows: the history is the hours' features and verdicts, which the rows of months made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.copying import copied_hours
from alerts.evidence.checks import Check, compared_all, found, not_redone, same
from alerts.evidence.histories import history_from
from alerts.evidence.parts import at, compared_times, packs_of, site_of
from alerts.lives import Episode
from alerts.review import review
from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.rules.rule import Rule
from alerts.subject import Subject
from plant.growing import GROWING

BY: Final = "the history gives"


def rule_of(name: str) -> Rule | None:
    return next((rule for rule in RULES if rule.name == name), None)


def check_folded(document: Mapping[str, Any], alert: Mapping[str, Any]) -> Iterator[Check]:
    """*alert* as it stands in the file: its history was read together with it."""
    if alert["state"] == "withdrawn":
        yield not_redone(
            "history", "the alert was withdrawn: what was found is in its events, and no longer in the data"
        )
        return
    held = document.get("history")
    if held is None:
        yield not_redone("history", "it is not in the file: its hours are no longer kept, or too many")
        return
    rule = rule_of(alert["rule"])
    assert rule is not None, "the caller knows it as one"
    site = site_of(document)
    subject = Subject(site_id=0, stack_id=0, site=site, stack=site.stacks[0], packs=packs_of(document))
    history = history_from(held, subject)
    episode = _episode(history, rule, alert)
    if episode is None:
        waiting = bool(document.get("being_judged"))
        said = f"asked about the history, {alert['rule']} finds no episode from {alert['period_start']} on"
        yield (
            not_redone("finding", f"{said}; the stack was being judged meanwhile")
            if waiting
            else found("finding", said)
        )
        return
    yield from _compared(alert, episode, whole=bool(held["whole"]))
    yield from _copied(document, history, episode)


def _episode(history: History, rule: Rule, alert: Mapping[str, Any]) -> Episode | None:
    place = int(np.searchsorted(history.start, at(alert["period_start"])))
    if place >= history.n_hours:
        return None
    reviewed = review(history, None, first=place, rules=[rule], keep_checkpoints=False)
    return next((one for one in reviewed.episodes if one.alert_id == alert["id"]), None)


def _compared(alert: Mapping[str, Any], episode: Episode, *, whole: bool) -> Iterator[Check]:
    numbers = {name: getattr(episode, name) for name in ("observed", "limit", "unit", "clause")}
    evidence = dict(episode.evidence)
    stated = {name: value for name, value in alert["evidence"].items() if name != "instrument" or name in evidence}
    if whole:
        numbers["severity"] = episode.severity
        yield compared_times("period_end", alert["period_end"], episode.period_end, by=BY)
        yield compared_times("ended_at", alert["ended_at"], episode.ended_at, by=BY)
    else:
        yield not_redone("severity, end and growth", "the episode is long: the history in the file ends where it fired")
        evidence = {name: value for name, value in evidence.items() if name not in GROWING}
        stated = {name: value for name, value in stated.items() if name not in GROWING}
    yield from compared_all({name: alert[name] for name in numbers}, numbers, by=BY)
    yield from compared_all(stated, evidence, by=BY, prefix="evidence.")


def _copied(document: Mapping[str, Any], history: History, episode: Episode) -> Iterator[Check]:
    """The hours that were copied when the alert opened or changed, against the history read with the file."""
    copied = {hour["start"]: hour for hour in document["evidence"]}
    redone = {hour["start"]: hour for hour in copied_hours(history, episode)}
    both = copied.keys() & redone.keys()
    if not both:
        yield not_redone("hours", f"{len(copied)} were copied, and the history has none of them")
        return
    other = [start for start in sorted(both) if not same(copied[start], redone[start])]
    for start in other:
        yield not_redone(
            f"hour {start}", "its copied numbers are not those of the history: later rows changed it, or somebody"
        )
    if not other:
        yield Check("hours", True, f"{len(copied)} copied, {len(both)} of them in the history")
