"""What a history holds beside its rows: orders, records, changed parameters, conflicts, reported hours, signals.

Most stacks have next to none of it: one statement brings all that is small and says whether there is more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import numpy as np

from plant.channels import CHANNELS
from plant.periods import HOUR, instant, micros
from plant.readings import Counts, Values
from plant.signals import PARAMETERS
from store.pool import Connection

STACK_FIGURES: Final = ("velocity_factor", "area_m2", "ambient_pressure_pa", "nox_from", "settle_s", "judged_from")
"""Keys of a stack in the register that a value is computed with, beside its `channels`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Something said of a time, in microseconds since the epoch."""

    start: int
    end: int | None
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Of one stack; arrays of shape (n_hours,), 0 or NaN where nothing is."""

    orders: Sequence[Spoken]
    changes: Sequence[Spoken]  #: kind `register` or `reported`
    records: Mapping[str, tuple[int, ...]]  #: by kind, and `began`: the start of the stack's first hour
    conflicts: Mapping[str, Counts] = field(default_factory=dict)  #: by channel
    reported: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)  #: by source, channel, figure
    signals: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)  #: by unit or '', signal, figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which stack, and which hours; instants in microseconds since the epoch."""

    site_id: int
    stack_id: int
    site: str
    stack: str
    units: Sequence[str]
    first: int  #: start of the hour at place 0 of the arrays
    n_hours: int
    values_from: int  #: hours before are not asked for values
    day_from: int  #: nor hours before this one for what rules look back on for a day

    @property
    def end(self) -> int:
        return self.first + self.n_hours * HOUR


_SMALL: Final[LiteralString] = """
SELECT
    (SELECT jsonb_agg(jsonb_build_object('order_id', order_id, 'kind', kind, 'units', units,
            'start', (extract(epoch FROM effective_from) * 1000000)::bigint,
            'safe_state_by', (extract(epoch FROM safe_state_by) * 1000000)::bigint,
            'end', (extract(epoch FROM least(ended_at, until)) * 1000000)::bigint) ORDER BY effective_from, order_id)
     FROM plant_order
     WHERE site_id = %(site_id)s AND effective_from < %(end)s
       AND coalesce(least(ended_at, until), 'infinity') > %(values_from)s
       AND EXISTS (SELECT FROM jsonb_array_elements(units) AS u WHERE u->>'unit' = ANY(%(units)s))) AS orders,
    (SELECT jsonb_agg(jsonb_build_array(kind, (extract(epoch FROM at) * 1000000)::bigint) ORDER BY at)
     FROM instrument_record WHERE stack_id = %(stack_id)s AND at < %(end)s) AS records,
    (SELECT (extract(epoch FROM min(start)) * 1000000)::bigint FROM hour_feature
     WHERE stack_id = %(stack_id)s) AS began,
    (SELECT jsonb_agg(jsonb_build_object('at', (extract(epoch FROM n.changed_at) * 1000000)::bigint,
            'by', n.changed_by, 'version', n.version, 'new', n.document, 'old', o.document) ORDER BY n.version)
     FROM register_version n JOIN register_version o
       ON o.kind = n.kind AND o.key = n.key AND o.version = n.version - 1
     WHERE n.kind = 'stack' AND n.key = %(key)s
       AND n.changed_at >= %(day_from)s AND n.changed_at < %(end)s) AS versions,
    (SELECT jsonb_agg(jsonb_build_array(channel, place, n)) FROM (
        SELECT channel, floor(extract(epoch FROM sampled_at - %(first)s) / 3600)::integer AS place, count(*) AS n
        FROM measurement_conflict
        WHERE stack_id = %(stack_id)s AND sampled_at >= %(values_from)s AND sampled_at < %(end)s
        GROUP BY 1, 2) c) AS conflicts,
    EXISTS (SELECT FROM reported_mean WHERE stack_id = %(stack_id)s) AS reports,
    EXISTS (SELECT FROM signal WHERE site_id = %(site_id)s) AS signals
"""
_REPORTED: Final[LiteralString] = """
SELECT source, channel, sampled_at, avg, corrected_avg FROM reported_mean
WHERE stack_id = %(stack_id)s AND interval_s = 3600 AND channel = ANY(%(channels)s)
  AND sampled_at >= %(day_from)s AND sampled_at < %(end)s
"""
_SIGNALS: Final[LiteralString] = """
SELECT unit, signal, date_bin('1 hour', sampled_at, %(first)s) AS hour, avg(value ORDER BY sampled_at, stack),
       min(value), max(value)
FROM signal
WHERE site_id = %(site_id)s AND signal = ANY(%(names)s)
  AND unit = ANY(%(units)s || '{""}'::text[]) AND stack IN ('', %(stack)s) AND (unit <> '' OR stack <> '')
  AND sampled_at >= %(values_from)s AND sampled_at < %(end)s AND flag = 'N' AND value IS NOT NULL
GROUP BY 1, 2, 3
"""
# A change is one against what stood, however long ago that was said.
_PARAMETERS: Final[LiteralString] = """
WITH said AS (
    SELECT unit, signal, sampled_at, value FROM signal
    WHERE site_id = %(site_id)s AND unit = ANY(%(units)s || '{""}'::text[]) AND stack = %(stack)s
      AND signal >= 'i13001-' AND signal < 'i1301'
      AND sampled_at >= %(day_from)s AND sampled_at < %(end)s AND value IS NOT NULL
), stood AS (
    SELECT k.unit, k.signal, s.sampled_at, s.value FROM (SELECT DISTINCT unit, signal FROM said) k
    CROSS JOIN LATERAL (
        SELECT sampled_at, value FROM signal
        WHERE site_id = %(site_id)s AND unit = k.unit AND stack = %(stack)s AND signal = k.signal
          AND sampled_at < %(day_from)s AND value IS NOT NULL
        ORDER BY sampled_at DESC LIMIT 1) s
)
SELECT signal, sampled_at, before, value FROM (
    SELECT signal, sampled_at, value, lag(value) OVER (PARTITION BY unit, signal ORDER BY sampled_at) AS before
    FROM (TABLE said UNION ALL TABLE stood) every
) p
WHERE before <> value AND sampled_at >= %(day_from)s
ORDER BY sampled_at, signal, value
"""


async def history_inputs(conn: Connection, wanted: Wanted, *, signals: Sequence[str]) -> Inputs:
    """All of it. *signals* are the process values to be read; none where they are known from the hours themselves."""
    values = {
        "site_id": wanted.site_id,
        "stack_id": wanted.stack_id,
        "key": f"{wanted.site}/{wanted.stack}",
        "stack": wanted.stack,
        "units": list(wanted.units),
        "first": instant(wanted.first),
        "values_from": instant(wanted.values_from),
        "day_from": instant(wanted.day_from),
        "end": instant(wanted.end),
        "channels": list(CHANNELS),
    }
    row = await (await conn.execute(_SMALL, values)).fetchone()
    assert row is not None
    orders, records, began, versions, conflicts, reports, any_signals = row
    changes = [change for version in versions or () for change in _register_changes(version)]
    if any_signals:
        changes += await _reported_changes(conn, values)
    return Inputs(
        orders=[_order(order) for order in orders or ()],
        changes=sorted(changes, key=lambda change: change.start),
        records=_records(records or (), began),
        conflicts=_conflicts(conflicts or (), wanted.n_hours),
        reported=await _reported(conn, values, wanted) if reports else {},
        signals=await signal_hours(conn, wanted, signals) if any_signals and signals else {},
    )


def _order(order: Mapping[str, Any]) -> Spoken:
    detail = {name: order[name] for name in ("order_id", "units", "safe_state_by")}
    return Spoken(start=order["start"], end=order["end"], kind=order["kind"], detail=detail)


def _records(records: Iterable[tuple[str, int]], began: int | None) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for kind, at in records:
        found[kind] = (*found.get(kind, ()), at)
    return found if began is None else {**found, "began": (began,)}


def _register_changes(version: Mapping[str, Any]) -> list[Spoken]:
    """What a new version of a stack changed of that with which its values are computed."""
    old, new = version["old"], version["new"]
    found = [(name, None, old.get(name), new.get(name)) for name in STACK_FIGURES if old.get(name) != new.get(name)]
    were, are = old.get("channels", {}), new.get("channels", {})
    for channel in sorted(were.keys() & are.keys()):
        before, after = were[channel], are[channel]
        keys = sorted(before.keys() | after.keys())
        found += [(key, channel, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
    about = {"by": version["by"], "version": version["version"]}
    return [
        Spoken(
            start=version["at"],
            end=version["at"],
            kind="register",
            detail={"parameter": name, "channel": channel, "from": was, "to": becomes, **about},
        )
        for name, channel, was, becomes in found
    ]


async def _reported_changes(conn: Connection, values: Mapping[str, Any]) -> list[Spoken]:
    """Values of `PARAMETERS` that a logger reports otherwise than before."""
    found = []
    for signal, sampled_at, before, value in await (await conn.execute(_PARAMETERS, values)).fetchall():
        code, _, about = signal.partition("-")
        if code in PARAMETERS:
            at = micros(sampled_at)
            detail = {"parameter": PARAMETERS[code], "code": code, "pollutant": about, "from": before, "to": value}
            found.append(Spoken(start=at, end=at, kind="reported", detail=detail))
    return found


def _conflicts(counted: Iterable[tuple[str, int, int]], n_hours: int) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for channel, place, n in counted:
        found.setdefault(channel, np.zeros(n_hours, dtype=np.int64))[place] = n
    return found


async def _reported(conn: Connection, values: Mapping[str, Any], wanted: Wanted) -> dict[tuple[str, str, str], Values]:
    found: dict[tuple[str, str, str], Values] = {}
    for source, channel, sampled_at, avg, corrected in await (await conn.execute(_REPORTED, values)).fetchall():
        place, off = divmod(micros(sampled_at) - wanted.first, HOUR)
        if off:
            continue  # no local hour of this site
        for figure, value in (("avg", avg), ("corrected_avg", corrected)):
            if value is not None:
                _put(found, (source, channel, figure), place, value, wanted.n_hours)
    return found


async def signal_hours(conn: Connection, wanted: Wanted, signals: Sequence[str]) -> dict[tuple[str, str, str], Values]:
    """By unit, signal and figure (`mean`, `low`, `high`), the *signals* of the stack and its units by the hour.

    An hour's figures are the same, to the last bit, whichever hours they are asked for with.
    """
    values = {
        "site_id": wanted.site_id,
        "stack": wanted.stack,
        "units": list(wanted.units),
        "names": list(signals),
        "first": instant(wanted.first),
        "values_from": instant(wanted.values_from),
        "end": instant(wanted.end),
    }
    found: dict[tuple[str, str, str], Values] = {}
    for unit, signal, hour, *figures in await (await conn.execute(_SIGNALS, values)).fetchall():
        place = (micros(hour) - wanted.first) // HOUR
        for figure, value in zip(("mean", "low", "high"), figures, strict=True):
            _put(found, (unit, signal, figure), place, value, wanted.n_hours)
    return found


def _put(
    found: dict[tuple[str, str, str], Values], key: tuple[str, str, str], place: int, value: float, n_hours: int
) -> None:
    found.setdefault(key, np.full(n_hours, np.nan))[place] = value
