"""Writing the file that can be checked offline: an alert with all that its numbers are redone from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from alerts.copying import BLOCKS_OF
from alerts.evidence.files import ALERT_FORMAT
from alerts.evidence.folded import rule_of
from alerts.evidence.histories import history_document, until
from alerts.evidence.sealing import Signing, sealed
from alerts.histories import load
from alerts.rules import month_below_share
from alerts.rules.history import History
from alerts.rules.rule import Rule
from alerts.subject import Subject
from plant.packs import Pack, all_packs
from plant.periods import HOUR, micros
from store import alerts, exporting, retention
from store.clock import clock
from store.pool import Connection
from store.register import site_by_code

WHOLE_H: Final = 14 * 24  #: from the begin of an episode: what ends later is in the file until it fired
BEHIND_H: Final = 48  #: behind its end, for undecided hours stop the count of clear ones
LONGEST_H: Final = 100 * 24  #: of a history in a file


async def exported(conn: Connection, document: Mapping[str, Any], signer: Signing | None) -> dict[str, Any]:
    """The file of the alert *document*, sealed. The transaction is of one instant (`store.exporting.one_instant`)."""
    alert_id = document["id"]
    period = {name: datetime.fromisoformat(document[f"period_{name}"]) for name in ("start", "end")}
    events = await alerts.events_of(conn, alert_id)
    rule, pack = rule_of(document["rule"]), all_packs().get(document["pack"] or "")
    file: dict[str, Any] = {
        "format": ALERT_FORMAT,
        "alert": document,
        "events": events,
        "evidence": await alerts.evidence_of(conn, alert_id),
        "register": await alerts.register_of(conn, alert_id),
        "pack": _pack(pack) if pack else None,
        "accepted_marks": await exporting.accepted_marks(conn, alert_id, **period, before=_last_said(document, events)),
        "being_judged": await exporting.is_being_judged(conn, alert_id),
    }
    is_of_month = document["rule"] == month_below_share.NAME
    file["hours_now"] = await exporting.final_hours(conn, alert_id, **period) if is_of_month else []
    of_hours = file["evidence"] if rule is not None or is_of_month else None
    starts = [datetime.fromisoformat(hour["start"]) for hour in of_hours or ()]
    file["means"] = await exporting.means_of_hours(conn, alert_id, starts)
    subject = await _subject(conn, document) if rule is not None else None
    file["packs"] = [_pack(one) for one in subject.packs] if subject else []
    file["history"] = await _history(conn, document, rule, subject) if rule and subject else None
    return sealed(file, signer)


def _last_said(document: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> datetime | None:
    """Of an alert that was withdrawn, when it was last said to stand: a mark accepted since may have unmade it."""
    if document["state"] != "withdrawn":
        return None
    said = [event["at"] for event in events if event["event"] in ("opened", "changed", "reopened")]
    return datetime.fromisoformat(said[-1]) if said else None


def _pack(pack: Pack) -> dict[str, str]:
    return {"name": pack.name, "version": pack.version, "text": pack.text}


async def _subject(conn: Connection, document: Mapping[str, Any]) -> Subject | None:
    """The alert's stack as registered; None where it was withdrawn."""
    registered = await site_by_code(conn, document["site"])
    if registered is None:
        return None
    stack = next((one for one in registered.site.stacks if one.code == document["stack"]), None)
    if stack is None:
        return None
    return Subject(
        site_id=registered.site_id, stack_id=registered.stack_ids[stack.code], site=registered.site, stack=stack
    )


async def _history(
    conn: Connection, document: Mapping[str, Any], rule: Rule, subject: Subject
) -> dict[str, Any] | None:
    """What *rule* looked at until the episode ended, or of a long one until it fired; None where that is gone."""
    since = _at(document["period_start"])
    now = await clock(conn, subject.site_id, simulated=subject.site.simulated)
    kept = await retention.kept_from(conn, subject.site_id)
    if document["state"] == "withdrawn" or now is None:
        return None
    if kept is not None and since - rule.reach_h * HOUR < micros(kept[0]):
        return None
    history = (await load(conn, subject, since=since, judged=(), now=now, rules=[rule])).history
    end, whole = _end(document, rule, history)
    if end - int(history.start[0]) > LONGEST_H * HOUR:
        return None
    blocks = document["rule"] in BLOCKS_OF
    return {"whole": whole, **history_document(until(history, end), blocks=blocks)}


def _end(document: Mapping[str, Any], rule: Rule, history: History) -> tuple[int, bool]:
    """Where the history in the file ends, and whether that is behind the end of the episode as it now is."""
    ends = int(history.start[-1]) + HOUR
    if document["ended_at"] is not None:
        ends = min(ends, _at(document["ended_at"]) + (rule.life.keep_h + BEHIND_H) * HOUR)
    if ends - _at(document["period_start"]) <= WHOLE_H * HOUR:
        return ends, True
    return _at(document["evidence"]["hour"]) + HOUR, False


def _at(text: str) -> int:
    return micros(datetime.fromisoformat(text))
