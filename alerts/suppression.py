"""Why an alert is not brought to anybody's attention for now. Suppression marks an alert; it never deletes one.

*Inhibition*: another fact makes it pointless to say it again. *Silence*: a person with a name asked for quiet, for a
reason and until an instant. An alert keeps all its reasons, so that nothing speaks up because one of two went away.

    source_stopped   the source stands still: its exceedances can get no worse. Never the integrity rules, not
                     while one says that the source is marked stopped and still runs, and not before the alert has been
                     heard for a while: what the plant says of itself must keep nobody from hearing of it at all
    month_breached   the month is below its share anyway: warnings about its budget say nothing new
    edge_offline     the only edge that feeds a stack is offline: its missing data is said with the edge
    silence          somebody asked for quiet. A plant's own silence is for the plant alone
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from plant.periods import HOUR, SECOND

STOPPED_S: Final = 45 * 60  #: of an hour: as many minutes as exclude it (contract, section 5)
SAID_AFTER_S: Final = 15 * 60  #: in which everybody who is to hear of an alert has: by the clock of people, not of data

EXCEEDANCES: Final = frozenset({"hour_above_limit", "irrecoverable_hour", "keep_below", "day_above_limit", "budget"})
BUDGET: Final = "budget"
MONTH: Final = "month_below_share"
DATA_MISSING: Final = "data_missing"
EDGE_OFFLINE: Final = "edge_offline"
PLANT_MAY_SILENCE: Final = frozenset({DATA_MISSING, EDGE_OFFLINE, "edge_backlog"})
"""What a plant may leave unheard itself: what it already knows of its own lines, never what it is judged by."""
STILL_RUNNING: Final = "stopped_but_breathing"


class Reason(StrEnum):
    SOURCE_STOPPED = "source_stopped"
    MONTH_BREACHED = "month_breached"
    EDGE_OFFLINE = "edge_offline"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An open alert, as far as suppression looks at it."""

    alert_id: str
    rule: str
    severity: str
    region: str
    site: str
    stack: str | None
    pollutant: str | None
    pack: str | None
    month: str  #: the local month of its period's start, `YYYY-MM`
    edge: str | None
    said: bool  #: open for `SAID_AFTER_S` at least, or acknowledged


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence in force: it is for every alert that has all that it names."""

    silence_id: int
    by_plant: bool
    region: str | None
    site: str | None
    stack: str | None
    rules: tuple[str, ...]
    severities: tuple[str, ...]

    def is_for(self, alert: Open) -> bool:
        return (
            self.region in (None, alert.region)
            and self.site in (None, alert.site)
            and self.stack in (None, alert.stack)
            and (not self.rules or alert.rule in self.rules)
            and (not self.severities or alert.severity in self.severities)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What holds at one site while its alerts are open."""

    stopped: Collection[str] = ()  #: stacks whose source stands still
    fed_by: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: by stack, the edges that sent its last rows
    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why an alert is quiet: for everybody, and by which silence for the plant alone."""

    reasons: tuple[Mapping[str, Any], ...] = ()  #: in a fixed order
    plant_silence: int | None = None


def quiet(alerts: Iterable[Open], here: Circumstances) -> dict[str, Quiet]:
    """Of each open alert of one site why it is quiet, by its id.

    *alerts* are all that inhibit one another: of a site, or of one stack with those of the site's edges.
    """
    listed = sorted(alerts, key=lambda alert: alert.alert_id)  # which of two is named is no chance
    months = {(alert.stack, alert.pollutant, alert.pack, alert.month): alert for alert in listed if alert.rule == MONTH}
    offline = {alert.edge: alert.alert_id for alert in listed if alert.rule == EDGE_OFFLINE and alert.edge is not None}
    stopped = frozenset(here.stopped) - {alert.stack for alert in listed if alert.rule == STILL_RUNNING}
    found: dict[str, Quiet] = {}
    for alert in listed:
        reasons: list[Mapping[str, Any]] = []
        if alert.rule in EXCEEDANCES and alert.said and alert.stack in stopped:
            reasons.append({"reason": Reason.SOURCE_STOPPED.value})
        month = months.get((alert.stack, alert.pollutant, alert.pack, alert.month))
        if alert.rule == BUDGET and month is not None:
            reasons.append({"reason": Reason.MONTH_BREACHED.value, "by": month.alert_id})
        edges = here.fed_by.get(alert.stack or "", frozenset())
        if alert.rule == DATA_MISSING and edges and edges <= offline.keys():
            reasons.append({"reason": Reason.EDGE_OFFLINE.value, "by": min(offline[edge] for edge in edges)})
        silences = sorted(silence.silence_id for silence in here.silences if silence.is_for(alert))
        own = {silence.silence_id for silence in here.silences if silence.by_plant}
        reasons += [{"reason": Reason.SILENCE.value, "by": number} for number in silences if number not in own]
        found[alert.alert_id] = Quiet(tuple(reasons), next((number for number in silences if number in own), None))
    return found


def source_stopped(history: History) -> bool:
    """Whether the source stands still in the newest hour that has ended: by its rows, or by an accepted mark.

    Marks that nobody accepted say nothing here, and an hour of which nothing is known is no stop.
    """
    ended = np.flatnonzero(history.ended)
    if not ended.size:
        return False
    at = int(ended[-1])
    start = int(history.start[at])
    if history.outlet["rows"][at] > 0 and history.outlet["stopped_s"][at] >= STOPPED_S:
        return True
    marked = [
        min(start + HOUR, mark.end if mark.end is not None else start + HOUR) - max(start, mark.start)
        for mark in history.marks
        if mark.kind == "stopped" and mark.status == "accepted"
    ]
    return any(length >= STOPPED_S * SECOND for length in marked)
