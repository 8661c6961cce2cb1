"""The means and verdicts of hours and months.

A provisional row is replaced in place; once final it is superseded by a new revision and stays readable. The
decision what to write is `revise`, a pure function of what stands and what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any, Final, LiteralString, TypeVar

from psycopg.types.json import Jsonb

from plant.hours import Claim
from plant.months import JudgedHour, Month
from plant.periods import instant, micros
from plant.verdicts import Verdict
from store.pool import Connection


async def unfinished_hours(conn: Connection, stack_id: int, before: int) -> list[int]:
    """Hours of a stack that are not final and ended before the instant *before*."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT start FROM hour_mean
        WHERE stack_id = %s AND NOT final AND superseded_at IS NULL AND start + interval '1 hour' <= %s
        """,
        [stack_id, instant(before)],
    )
    return [micros(start) for (start,) in await cursor.fetchall()]


async def accepted_marks(conn: Connection, stack_id: int, *, first: int, end: int) -> list[Claim]:
    """The accepted marks of a stack that touch `[first, end)`."""
    cursor = await conn.execute(
        """
        SELECT start_at, end_at FROM mark
        WHERE stack_id = %s AND status = 'accepted' AND start_at < %s AND end_at > %s ORDER BY start_at
        """,
        [stack_id, instant(end), instant(first)],
    )
    return [Claim(micros(start), micros(stop)) for start, stop in await cursor.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourMean:
    """A row of `hour_mean` without its revision."""

    pollutant: str
    start: datetime
    averaging: str
    instrument: str
    rows: int
    valid: bool
    valid_minutes: int
    not_running_minutes: int
    over_range_minutes: int
    claimed_minutes: int
    zero_minutes: int
    mean: float | None
    o2: float | None
    mass_kg: float | None
    rows_hash: bytes
    final: bool

    @property
    def key(self) -> tuple[str, datetime, str]:
        return (self.pollutant, self.start, self.averaging)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourVerdict:
    """A row of `hour_verdict` without its revision."""

    pollutant: str
    start: datetime
    pack: str
    pack_version: str
    averaging: str
    mean_revision: int
    month: date
    corrected: float | None
    corrected_from_minutes: float | None
    method_sensitive: bool
    limit_value: float
    verdict: str
    reason: str
    claimed: bool
    final: bool

    @property
    def key(self) -> tuple[str, datetime, str]:
        return (self.pollutant, self.start, self.pack)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthRow:
    """A row of `month_verdict` without its revision."""

    pollutant: str
    month: date
    pack: str
    pack_version: str
    hours_valid: int
    hours_within: int
    hours_above: int
    hours_undecided: int
    hours_excluded: Mapping[str, int]
    hours_to_come: int
    share: float | None
    share_worst: float | None
    required: float
    budget: int
    budget_now: int
    budget_left: int
    verdict: str
    final: bool
    as_of: datetime

    @property
    def key(self) -> tuple[str, date, str]:
        return (self.pollutant, self.month, self.pack)


def month_row(month: Month, *, pollutant: str, first_day: date, pack: str, pack_version: str, as_of: int) -> MonthRow:
    return MonthRow(
        pollutant=pollutant,
        month=first_day,
        pack=pack,
        pack_version=pack_version,
        hours_valid=month.hours_valid,
        hours_within=month.hours_within,
        hours_above=month.hours_above,
        hours_undecided=month.hours_undecided,
        hours_excluded=month.hours_excluded,
        hours_to_come=month.hours_to_come,
        share=month.share,
        share_worst=month.share_worst,
        required=month.required,
        budget=month.budget,
        budget_now=month.budget_now,
        budget_left=month.budget_left,
        verdict=month.verdict.value,
        final=month.final,
        as_of=instant(as_of),
    )


Judged = TypeVar("Judged", HourMean, HourVerdict, MonthRow)


@dataclass(frozen=True, slots=True)
class Step:
    """What to write for one judged thing: its revision, and whether it replaces a provisional row of that number."""

    revision: int
    in_place: bool
    changed: bool


def revise(standing: tuple[Judged, int] | None, new: Judged) -> Step:
    """How *new* follows what stands with its revision (none: the first).

    The same again changes nothing. A provisional row is replaced in place. A final one stays, superseded by the next
    revision; the clock by which a month was judged is no difference.
    """
    if standing is None:
        return Step(1, in_place=False, changed=True)
    old, revision = standing
    if _same(old, new):
        return Step(revision, in_place=True, changed=False)
    if not old.final:
        return Step(revision, in_place=True, changed=True)
    return Step(revision + 1, in_place=False, changed=True)


def _same(old: Judged, new: Judged) -> bool:
    if isinstance(new, MonthRow):
        return old == (replace(new, as_of=old.as_of) if old.final else new)
    return old == new


_MEAN_COLUMNS: Final = tuple(field.name for field in fields(HourMean))
_VERDICT_COLUMNS: Final = tuple(field.name for field in fields(HourVerdict))
_MONTH_COLUMNS: Final = tuple(field.name for field in fields(MonthRow))

_MEANS: Final[LiteralString] = """
SELECT pollutant, start, averaging, instrument, rows, valid, valid_minutes, not_running_minutes, over_range_minutes,
       claimed_minutes, zero_minutes, mean, o2, mass_kg, rows_hash, final, revision
FROM hour_mean WHERE stack_id = %(stack_id)s AND start = ANY(%(starts)s) AND start BETWEEN %(first)s AND %(last)s
  AND superseded_at IS NULL
"""
_SUPERSEDE_MEAN: Final[LiteralString] = """
UPDATE hour_mean SET superseded_at = now()
WHERE stack_id = %s AND pollutant = %s AND start = %s AND averaging = %s AND superseded_at IS NULL
"""
_PUT_MEAN: Final[LiteralString] = """
INSERT INTO hour_mean (stack_id, revision, pollutant, start, averaging, instrument, rows, valid, valid_minutes,
    not_running_minutes, over_range_minutes, claimed_minutes, zero_minutes, mean, o2, mass_kg, rows_hash, final)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stack_id, pollutant, start, averaging, revision) DO UPDATE SET
    instrument = excluded.instrument, rows = excluded.rows, valid = excluded.valid,
    valid_minutes = excluded.valid_minutes, not_running_minutes = excluded.not_running_minutes,
    over_range_minutes = excluded.over_range_minutes, claimed_minutes = excluded.claimed_minutes,
    zero_minutes = excluded.zero_minutes,
    mean = excluded.mean, o2 = excluded.o2, mass_kg = excluded.mass_kg, rows_hash = excluded.rows_hash,
    final = excluded.final, computed_at = now()
"""
_VERDICTS: Final[LiteralString] = """
SELECT pollutant, start, pack, pack_version, averaging, mean_revision, month, corrected, corrected_from_minutes,
       method_sensitive, limit_value, verdict, reason, claimed, final, revision
FROM hour_verdict WHERE stack_id = %(stack_id)s AND start = ANY(%(starts)s) AND start BETWEEN %(first)s AND %(last)s
  AND superseded_at IS NULL
"""
_SUPERSEDE_VERDICT: Final[LiteralString] = """
UPDATE hour_verdict SET superseded_at = now()
WHERE stack_id = %s AND pollutant = %s AND start = %s AND pack = %s AND superseded_at IS NULL
"""
_PUT_VERDICT: Final[LiteralString] = """
INSERT INTO hour_verdict (stack_id, revision, pollutant, start, pack, pack_version, averaging, mean_revision, month,
    corrected, corrected_from_minutes, method_sensitive, limit_value, verdict, reason, claimed, final)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stack_id, pollutant, start, pack, revision) DO UPDATE SET
    pack_version = excluded.pack_version, averaging = excluded.averaging, mean_revision = excluded.mean_revision,
    month = excluded.month, corrected = excluded.corrected, corrected_from_minutes = excluded.corrected_from_minutes,
    method_sensitive = excluded.method_sensitive, limit_value = excluded.limit_value, verdict = excluded.verdict,
    reason = excluded.reason, claimed = excluded.claimed, final = excluded.final, computed_at = now()
"""
_MONTHS: Final[LiteralString] = """
SELECT pollutant, month, pack, pack_version, hours_valid, hours_within, hours_above, hours_undecided, hours_excluded,
       hours_to_come, share, share_worst, required, budget, budget_now, budget_left, verdict, final, as_of, revision
FROM month_verdict WHERE stack_id = %(stack_id)s AND month = ANY(%(starts)s) AND superseded_at IS NULL
"""
_SUPERSEDE_MONTH: Final[LiteralString] = """
UPDATE month_verdict SET superseded_at = now()
WHERE stack_id = %s AND pollutant = %s AND month = %s AND pack = %s AND superseded_at IS NULL
"""
_PUT_MONTH: Final[LiteralString] = """
INSERT INTO month_verdict (stack_id, revision, pollutant, month, pack, pack_version, hours_valid, hours_within,
    hours_above, hours_undecided, hours_excluded, hours_to_come, share, share_worst, required, budget, budget_now,
    budget_left, verdict, final, as_of)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stack_id, pollutant, month, pack, revision) DO UPDATE SET
    pack_version = excluded.pack_version, hours_valid = excluded.hours_valid, hours_within = excluded.hours_within,
    hours_above = excluded.hours_above, hours_undecided = excluded.hours_undecided,
    hours_excluded = excluded.hours_excluded, hours_to_come = excluded.hours_to_come, share = excluded.share,
    share_worst = excluded.share_worst, required = excluded.required, budget = excluded.budget,
    budget_now = excluded.budget_now, budget_left = excluded.budget_left, verdict = excluded.verdict,
    final = excluded.final, as_of = excluded.as_of, computed_at = now()
"""


@dataclass(frozen=True, slots=True)
class _Family:
    """The statements of one table of judged things."""

    select: LiteralString
    supersede: LiteralString
    put: LiteralString
    columns: tuple[str, ...]


_FAMILIES: Final[Mapping[type[Any], _Family]] = {
    HourMean: _Family(_MEANS, _SUPERSEDE_MEAN, _PUT_MEAN, _MEAN_COLUMNS),
    HourVerdict: _Family(_VERDICTS, _SUPERSEDE_VERDICT, _PUT_VERDICT, _VERDICT_COLUMNS),
    MonthRow: _Family(_MONTHS, _SUPERSEDE_MONTH, _PUT_MONTH, _MONTH_COLUMNS),
}


async def standing(
    conn: Connection, kind: type[Judged], stack_id: int, starts: Sequence[Any]
) -> dict[Any, tuple[Judged, int]]:
    """What stands for a stack at *starts* (instants, or first days of months), with its revision, by key."""
    if not starts:
        return {}
    values = {"stack_id": stack_id, "starts": list(starts), "first": min(starts), "last": max(starts)}
    cursor = await conn.execute(_FAMILIES[kind].select, values)
    found = {}
    for *row, revision in await cursor.fetchall():
        item = kind(**dict(zip(_FAMILIES[kind].columns, row, strict=True)))
        found[item.key] = (item, revision)
    return found


async def write(
    conn: Connection, stack_id: int, items: Iterable[tuple[HourMean | HourVerdict | MonthRow, Step]]
) -> None:
    """Write what changed of *items*, superseding what stood where the revision is a new one."""
    changed = [(item, step) for item, step in items if step.changed]
    if not changed:
        return
    family: _Family = _FAMILIES[type(changed[0][0])]
    async with conn.cursor() as cursor:
        superseded = [[stack_id, *item.key] for item, step in changed if step.revision > 1 and not step.in_place]
        if superseded:
            await cursor.executemany(family.supersede, superseded)
        await cursor.executemany(
            family.put,
            [
                [stack_id, step.revision, *(_plain(getattr(item, name)) for name in family.columns)]
                for item, step in changed
            ],
        )


def _plain(value: Any) -> Any:
    return Jsonb(dict(value)) if isinstance(value, Mapping) else value


_MONTH_HOURS: Final[LiteralString] = """
SELECT month, pack, pollutant, verdict, reason, claimed, count(*)
FROM hour_verdict
WHERE stack_id = %(stack_id)s AND pack = ANY(%(packs)s) AND month = ANY(%(months)s) AND superseded_at IS NULL AND final
  AND start BETWEEN %(first)s::timestamptz - interval '2 days' AND %(last)s::timestamptz + interval '33 days'
GROUP BY 1, 2, 3, 4, 5, 6
"""


async def hours_of_months(
    conn: Connection, stack_id: int, packs: Sequence[str], months: Sequence[date]
) -> dict[tuple[date, str, str], dict[JudgedHour, int]]:
    """How many final hours of each kind the months have, by (month, pack, pollutant)."""
    bounds = {"months": list(months), "first": min(months), "last": max(months)}
    cursor = await conn.execute(_MONTH_HOURS, {"stack_id": stack_id, "packs": list(packs), **bounds})
    found: dict[tuple[date, str, str], dict[JudgedHour, int]] = {}
    for month, pack, pollutant, verdict, reason, claimed, count in await cursor.fetchall():
        found.setdefault((month, pack, pollutant), {})[JudgedHour(Verdict(verdict), reason, claimed)] = count
    return found


_CLEAR_HOURS: Final[LiteralString] = """
(SELECT start FROM hour_verdict
 WHERE stack_id = %(stack_id)s AND pollutant = %(pollutant)s AND pack = %(pack)s AND superseded_at IS NULL
   AND verdict = 'clear' AND final AND start >= %(first)s AND start <= %(last)s)
UNION ALL
(SELECT start FROM hour_verdict
 WHERE stack_id = %(stack_id)s AND pollutant = %(pollutant)s AND pack = %(pack)s AND superseded_at IS NULL
   AND verdict = 'clear' AND final AND start > %(last)s
 ORDER BY start LIMIT 1)
ORDER BY 1
"""
_CLEAR_MONTHS: Final[LiteralString] = """
SELECT v.month::timestamp AT TIME ZONE s.timezone
FROM month_verdict v JOIN stack k USING (stack_id) JOIN site s USING (site_id)
WHERE v.stack_id = %(stack_id)s AND v.pollutant = %(pollutant)s AND v.pack = %(pack)s AND v.superseded_at IS NULL
  AND v.verdict = 'clear' AND v.final AND v.month::timestamp AT TIME ZONE s.timezone >= %(first)s
ORDER BY 1
"""


async def clear_periods(
    conn: Connection, stack_id: int, pollutant: str, pack: str, *, months: bool, first: datetime, last: datetime
) -> list[datetime]:
    """Starts of the clear periods of a series from *first* on: all until *last*, and the next one behind it."""
    query = _CLEAR_MONTHS if months else _CLEAR_HOURS
    values = {"stack_id": stack_id, "pollutant": pollutant, "pack": pack, "first": first, "last": last}
    cursor = await conn.execute(query, values)
    return [start for (start,) in await cursor.fetchall()]
