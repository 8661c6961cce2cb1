"""Checking an exported file: what `stackwatch verify` says about it. Pure.

Each number is redone from what the file holds under it: an hour from its rows, a month from the verdicts of its hours,
what many hours say from the history that the rule looked at. What cannot be redone is said, never passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from alerts.enforcement.export import FORMAT as CASE_FORMAT
from alerts.enforcement.export import faults_of
from alerts.evidence.checks import Check, compared, compared_all, found, not_redone, same, shown
from alerts.evidence.folded import check_folded, rule_of
from alerts.evidence.hour import check_hour, is_of_hour
from alerts.evidence.month import check_month
from alerts.evidence.parts import at, pack_of, series_of
from alerts.evidence.sealing import SEAL, check_seal
from alerts.rules import hour_above_limit, month_below_share
from alerts.rules.finding import alert_id
from plant.errors import PlantError
from plant.growing import GROWING
from plant.packs import all_packs, parse_pack

ALERT_FORMAT: Final = "stackwatch-alert/1"
FORMATS: Final = (ALERT_FORMAT, CASE_FORMAT)

#: Events with which the rows, or hours, that an alert stands on were copied.
_COPIED_AT: Final = frozenset({"opened", "changed", "reopened"})
#: The rows of a running hour are copied again when its alert is over; what else ends moves no number.
_COPIED_AT_OF_HOUR: Final = _COPIED_AT | {"resolved"}
#: What a rule found: nothing that happens to an alert moves it, but another judgement.
_FOUND: Final = ("severity", "period_start", "period_end", "observed", "limit", "unit", "clause", "evidence")
#: What may move without an event, while the period runs or the episode goes on; a site may get another region.
_QUIET: Final = frozenset({"plant_silence", "suppressed_by", "region"})
_UNREADABLE: Final = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError),
    *(ArithmeticError, AssertionError, RecursionError, PlantError),
)


def check_file(document: Any, *, public_key: str | None = None) -> list[Check]:
    """Every check of an exported *document*; *public_key* of the installation that it is said to come from, base64."""
    form = document.get("format") if isinstance(document, Mapping) else None
    if form not in FORMATS:
        return [found("format", f"the file is no export: its format is {shown(form)}, none of {', '.join(FORMATS)}")]
    checks: list[Check] = []
    try:
        for check in (_check_case if form == CASE_FORMAT else _check_alert)(document, public_key):
            checks.append(check)
    except _UNREADABLE as error:
        checks.append(found("file", f"cannot be read as what it says it is: {type(error).__name__} {error}"))
    return checks


def _check_case(document: Mapping[str, Any], public_key: str | None) -> Iterator[Check]:
    if SEAL in document or public_key:
        yield from check_seal(document, public_key=public_key)
    faults = faults_of(document)
    yield from (found("case", fault) for fault in faults)
    if not faults:
        events: Sequence[Mapping[str, Any]] = document["events"]
        yield Check("case", True, f"{len(events)} records, each chained to the one before; state and lifts redone")
        yield Check("chain", True, f"its last hash is {events[-1]['hash']}")


def _check_alert(document: Mapping[str, Any], public_key: str | None) -> Iterator[Check]:
    yield from check_seal(document, public_key=public_key)
    alert = document["alert"]
    yield _id(alert)
    yield from _register(alert, document["register"])
    yield from _events(alert, document["events"])
    yield from _pack(document)
    told = _told(alert, document["events"])
    rule, pack = alert["rule"], pack_of(document)
    version = told["evidence"].get("pack_version")
    if pack is not None and version is not None and version != pack.version:
        yield not_redone("numbers", f"judged under version {version} of {pack.name}, the file holds {pack.version}")
    elif is_of_hour(rule):
        yield from check_hour(document, told)
        yield from _not_as_told(alert, told)
    elif rule == month_below_share.NAME:
        yield from check_month(document, told, document["evidence"])
        if alert["state"] != "withdrawn":
            now = check_month(document, alert, document["hours_now"])
            yield from (replace(check, what=f"now, {check.what}") for check in now)
    elif rule_of(rule) is not None:
        yield from check_folded(document, alert)
    else:
        yield not_redone(
            "numbers", f"{rule} is about transport or stackwatch itself: what happened there is in no file"
        )


def _id(alert: Mapping[str, Any]) -> Check:
    series, start = series_of(alert), at(alert["period_start"])
    named = [series, *(replace(series, instrument=name) for name in [alert["evidence"].get("instrument")] if name)]
    ids = [alert_id(one, start) for one in named]
    return compared("id", alert["id"], alert["id"] if alert["id"] in ids else ids[0], by="rule, series and period give")


def _register(alert: Mapping[str, Any], register: Mapping[str, Any]) -> Iterator[Check]:
    """The register in the file is of the alert's own stack."""
    for name in ("region", "site", "stack"):
        if alert[name] is not None:
            check = compared(name, alert[name], (register[name] or {}).get("code"), by="the register in the file says")
            yield from [] if check.holds else [check]


def _told(alert: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The alert as it was when its rows were copied the last time."""
    copying = _COPIED_AT_OF_HOUR if is_of_hour(alert["rule"]) else _COPIED_AT
    copied = [event["document"] for event in events if event["event"] in copying]
    return copied[-1] if copied else alert


def _not_as_told(alert: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Check]:
    """What the rows were redone for is what the alert says: events that came later moved none of it."""
    if alert["rule"] != hour_above_limit.NAME and told["ended_at"] is None:
        return  # it was still running then
    for name in _FOUND:
        check = compared(name, alert[name], told[name], by="when its rows were copied it said")
        yield from [] if check.holds else [check]


def _events(alert: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """The history: it begins with an opening, is about this alert, and its end is what the file shows."""
    if not events:
        yield found("events", "there is none: an alert begins with one")
        return
    if events[0]["event"] != "opened":
        yield found("events", f"they begin with {events[0]['event']}, not with opened")
    strangers = [event["event"] for event in events if event["document"]["id"] != alert["id"]]
    if strangers:
        yield found("events", f"{', '.join(strangers)}: about another alert")
    numbers = [event["feed_number"] for event in events if event["feed_number"] is not None]
    if numbers != sorted(set(numbers)):
        yield found("events", "their feed numbers do not rise")
    yield from _last_event(alert, events[-1])


def _last_event(alert: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[Check]:
    quiet = _moving(alert)
    told = last["document"]
    other = [name for name in {**alert, **told} if name not in quiet and not same(alert.get(name), told.get(name))]
    if "evidence" in other and "evidence" not in quiet and _grows(alert):
        fixed = [{k: v for k, v in one["evidence"].items() if k not in GROWING} for one in (alert, told)]
        other = [name for name in other if name != "evidence" or not same(*fixed)]
    by = f"its last event ({last['event']}) says"
    for name in other:
        if isinstance(alert.get(name), Mapping) and isinstance(told.get(name), Mapping):
            checks = compared_all(alert[name], told[name], by=by, prefix=f"{name}.")
            yield from (check for check in checks if not check.holds)
        else:
            yield compared(name, alert.get(name), told.get(name), by=by)
    if not other:
        yield Check("events", True, f"the last, {last['event']} at {last['at']}, says what the alert says")


def _grows(alert: Mapping[str, Any]) -> bool:
    return rule_of(alert["rule"]) is not None


def _moving(alert: Mapping[str, Any]) -> frozenset[str]:
    """What of *alert* may have moved since its last event."""
    is_open = alert["state"] in ("firing", "acknowledged")
    if _grows(alert):
        return _QUIET | {"period_end"}
    if is_of_hour(alert["rule"]):
        running = is_open and alert["rule"] != hour_above_limit.NAME
    elif alert["rule"] == month_below_share.NAME:
        running = is_open and not alert["evidence"]["final"]
    else:
        running = is_open  # about an edge or stackwatch itself: it lasts until it ends
    return _QUIET | {"observed", "evidence", "severity", "period_end"} if running else _QUIET


def _pack(document: Mapping[str, Any]) -> Iterator[Check]:
    held_packs = list(document.get("packs", ()))
    held_packs += [pack for pack in [document.get("pack")] if pack is not None and pack not in held_packs]
    for held in held_packs:
        shipped, version = all_packs().get(held["name"]), parse_pack(held["text"], f"{held['name']}.toml").version
        if version != held["version"]:
            yield found(f"pack {held['name']}", f"the file says version {held['version']}, its text is {version}")
        elif shipped is None or shipped.version != held["version"]:
            yield not_redone(
                f"pack {held['name']}", f"version {held['version']} does not ship with this stackwatch: read its text"
            )
        elif shipped.text != held["text"]:
            yield found(
                f"pack {held['name']}", f"its text is not version {held['version']} as this stackwatch ships it"
            )
        else:
            yield Check(f"pack {held['name']}", True, f"version {held['version']}, as this stackwatch ships it")
