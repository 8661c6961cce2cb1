"""The rule stage was silent: no tick was committed for longer than it may take.

What it says    nothing was judged from the last tick on, until the stage ticked again.
Why it matters  while nobody judges, no alert says so: silence looks like compliance.
Not for         a stage that ticks and is behind with its work: the queue's length and age say that.
Source          ours; the limit is the setting STACKWATCH_STAGE_SILENT_S.

The stage cannot say that it is dead, so whoever sees it first opens the alert: the API, which looks every few seconds,
or the stage itself when it comes back and finds its last tick too old. It ends with the next tick. Its id follows from
the last tick, so nobody opens a second one. The age of a tick is by the database's clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from alerts.rules.finding import Series, alert_id
from plant.periods import instant, micros
from store import clock, findings
from store.clock import LastTick
from store.findings import AlertRow
from store.pool import Connection

NAME: Final = "stage_silent"
CLAUSE: Final = "stackwatch: the rule stage commits a tick at regular times"


async def note(conn: Connection, *, silent_s: float) -> bool:
    """Open the alert if the last tick is older than *silent_s* and nobody has; whether this did."""
    last = await clock.last_tick(conn)
    if last is None or last.age_s <= silent_s:
        return False
    await findings.lock_rule(conn, NAME)
    alert = _alert(last, silent_s)
    if await findings.is_known(conn, alert.alert_id):
        return False
    await findings.announce(conn, await findings.apply(conn, [alert]))
    return True


async def resolve(conn: Connection, at: datetime) -> None:
    """The stage ticked at *at*: what was open is over."""
    open_ones = await findings.open_of_rule(conn, NAME)
    if open_ones:
        ends = dict.fromkeys(open_ones, at)
        await findings.announce(conn, await findings.resolve(conn, ends))


def _alert(last: LastTick, silent_s: float) -> AlertRow:
    start, silent_for_s = micros(last.at), round(last.age_s, 1)
    return AlertRow(
        alert_id=alert_id(Series(rule=NAME, site=""), start),
        rule=NAME,
        severity="critical",
        site_id=None,
        stack_id=None,
        pollutant=None,
        pack=None,
        period_start=last.at,
        period_end=instant(start + round(silent_s * 1_000_000)),
        observed=silent_for_s,
        limit_value=silent_s,
        unit="s",
        clause=CLAUSE,
        evidence={"last_tick": last.at.isoformat(), "silent_for_s": silent_for_s},
        settled=True,
    )
