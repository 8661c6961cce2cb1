"""The queue of hours that need judging: asked for in the transaction of the cause, answered with the verdicts' commit.

A question is a row of `rejudge`. Who asks again for the same reason while the question waits adds nothing: it takes a
shared lock on the waiting one instead, so that a worker claims it only after the asker's commit. A question that a
worker holds is not found by that, and a new one is put: it cannot be missed (docs/decisions/0017). What a killed worker
held is unlocked by the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from plant.periods import instant, micros
from store.pool import Connection

SHARDS: Final = 64  #: of stacks, by stack_id: many more than workers, so that a share can be fair
LIVE: Final = 0  #: the clock of every site that is not simulated; a simulated site's is its site_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is asked about one stack."""

    stack_id: int
    clock: int  #: LIVE, or the site_id of its simulated site
    first_id: int  #: of the oldest question
    last_id: int
    oldest_hour: int  #: start in microseconds
    pressing: bool  #: somebody waits for it: not only rows came in
    bulk: bool  #: nothing but a new version of a pack or of the program asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The questions about one stack that this transaction holds, and what is needed to answer them."""

    stack_id: int
    hours: tuple[int, ...]  #: starts in microseconds, rising
    touched: tuple[int, ...]  #: those of them about which something besides their rows was said
    queue_ids: tuple[int, ...]
    site: str
    simulated: bool
    register: str  #: changes whenever the site's register does
    was_aside: bool  #: its judging failed the last time
    now: int | None  #: the clock of the site; None before the first tick or row


# Arrays are sent in binary (%b): as text psycopg looks at each element with regular expressions.
_ASK: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT k.stack_id, k.hour, %(reason)s
FROM unnest(%(stacks)b::integer[], %(hours)b::timestamptz[]) AS k (stack_id, hour)
WHERE NOT EXISTS (
    SELECT FROM rejudge q WHERE q.stack_id = k.stack_id AND q.hour = k.hour AND q.reason = %(reason)s
    FOR KEY SHARE SKIP LOCKED)
"""
_WAKE: Final[LiteralString] = "SELECT pg_notify('rejudge', '')"


async def ask(conn: Connection, hours: Iterable[tuple[int, datetime]], *, reason: str) -> None:
    """Have (stack_id, hour) judged once this transaction is committed."""
    pairs = sorted(set(hours))
    if pairs:
        stacks, starts = zip(*pairs, strict=True)
        await conn.execute(_ASK, {"stacks": list(stacks), "hours": list(starts), "reason": reason})
        await wake(conn)


async def wake(conn: Connection) -> None:
    """Wake the rule stages when this transaction is committed."""
    await conn.execute(_WAKE)


_WAITING: Final[LiteralString] = """
SELECT q.stack_id, CASE WHEN s.simulated THEN s.site_id ELSE 0 END, min(q.rejudge_id), max(q.rejudge_id), min(q.hour),
       bool_or(q.reason NOT IN ('rows', 'pack', 'features')), bool_and(q.reason IN ('pack', 'features'))
FROM rejudge q LEFT JOIN stack k USING (stack_id) LEFT JOIN site s USING (site_id)
WHERE q.rejudge_id > %(after)s AND (%(shards)s::integer[] IS NULL OR q.stack_id %% %(of)s = ANY(%(shards)s))
  AND NOT EXISTS (SELECT FROM set_aside a WHERE a.stack_id = q.stack_id AND a.retry_at > now())
GROUP BY 1, 2
"""
_CLOCKS_NOW: Final[LiteralString] = """
SELECT 0, max(at) FROM tick HAVING max(at) IS NOT NULL
UNION ALL
SELECT site_id, newest FROM site_clock JOIN site USING (site_id) WHERE simulated
"""


async def waiting(conn: Connection, *, after: int = 0, shards: Collection[int] | None = None) -> list[Waiting]:
    """What is asked about the stacks of *shards* (None: all) and was put after the question *after*."""
    values = {"after": after, "of": SHARDS, "shards": None if shards is None else sorted(shards)}
    cursor = await conn.execute(_WAITING, values)
    return [
        Waiting(
            stack_id=stack_id,
            clock=clock,
            first_id=first_id,
            last_id=last_id,
            oldest_hour=micros(hour),
            pressing=pressing,
            bulk=bulk,
        )
        for stack_id, clock, first_id, last_id, hour, pressing, bulk in await cursor.fetchall()
    ]


async def clocks(conn: Connection) -> dict[int, int]:
    """What time it is now by each clock that ever went."""
    cursor = await conn.execute(_CLOCKS_NOW)
    return {clock: micros(now) for clock, now in await cursor.fetchall()}


_CLAIM: Final[LiteralString] = """
SELECT rejudge_id, hour, reason NOT IN ('rows', 'ended') FROM rejudge
WHERE stack_id = %s ORDER BY hour, rejudge_id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_IS_ASKED: Final[LiteralString] = "SELECT FROM rejudge WHERE stack_id = %s LIMIT 1"
# One writer of a stack's verdicts at a time: whoever gets it sees, in its next statements, what the other wrote. Nobody
# waits for it: a stage that stands still in the middle of a transaction must not make another stand still.
_LOCK_STACK: Final[LiteralString] = "SELECT pg_try_advisory_xact_lock(7274002, %s)"
_ABOUT: Final[LiteralString] = """
SELECT s.code, s.simulated,
       concat_ws('/', r.version, s.version,
                 (SELECT concat_ws('/', count(*), sum(o.version), count(o.withdrawn_at)) FROM stack o
                  WHERE o.site_id = s.site_id),
                 (SELECT concat_ws('/', count(*), sum(u.version), count(u.withdrawn_at)) FROM unit u
                  WHERE u.site_id = s.site_id)),
       EXISTS (SELECT FROM set_aside a WHERE a.stack_id = k.stack_id),
       CASE WHEN s.simulated THEN (SELECT newest FROM site_clock c WHERE c.site_id = s.site_id)
            ELSE (SELECT max(at) FROM tick) END
FROM stack k JOIN site s USING (site_id) JOIN region r USING (region_id) WHERE k.stack_id = %s
"""


async def claim(conn: Connection, stack_id: int, most: int) -> Claim | None:
    """Hold up to *most* questions about a stack, and the stack itself, until the transaction ends.

    None where nothing is asked. Without hours where somebody else holds what is asked: try again later.
    """
    locked = await (await conn.execute(_LOCK_STACK, [stack_id])).fetchone()
    found = await (await conn.execute(_CLAIM, [stack_id, most])).fetchall() if locked and locked[0] else []
    if not found and await (await conn.execute(_IS_ASKED, [stack_id])).fetchone() is None:
        return None
    about = await (await conn.execute(_ABOUT, [stack_id])).fetchone()
    site, simulated, register, was_aside, now = about or ("", False, "", False, None)
    return Claim(
        stack_id=stack_id,
        hours=tuple(sorted({micros(hour) for _, hour, _ in found})),
        touched=tuple(sorted({micros(hour) for _, hour, touched in found if touched})),
        queue_ids=tuple(queue_id for queue_id, _, _ in found),
        site=site,
        simulated=simulated,
        register=register,
        was_aside=was_aside,
        now=None if now is None else micros(now),
    )


_UNREAD: Final[LiteralString] = """
SELECT DISTINCT hour FROM rejudge WHERE stack_id = %s AND hour = ANY(%b::timestamptz[]) AND reason = 'rows'
"""


async def with_new_rows(conn: Connection, stack_id: int, hours: Collection[int]) -> set[int]:
    """Those of *hours* of which rows came that are not judged yet."""
    cursor = await conn.execute(_UNREAD, [stack_id, [instant(hour) for hour in hours]])
    return {micros(hour) for (hour,) in await cursor.fetchall()}


async def answered(conn: Connection, claim: Claim) -> None:
    await conn.execute("DELETE FROM rejudge WHERE rejudge_id = ANY(%b::bigint[])", [list(claim.queue_ids)])


async def may_be_lost(conn: Connection) -> None:
    """Do not wait for the disk at the commit of this transaction: what it wrote would be computed again."""
    await conn.execute("SET LOCAL synchronous_commit = off")


_CLOCKS: Final[LiteralString] = """
WITH clock AS (
    SELECT s.site_id, s.timezone, CASE WHEN s.simulated THEN c.newest ELSE (SELECT max(at) FROM tick) END AS now
    FROM site s LEFT JOIN site_clock c USING (site_id)
)
"""
_ASK_ENDED_HOURS: Final[LiteralString] = (
    _CLOCKS
    + """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT DISTINCT m.stack_id, m.start, 'ended'
FROM hour_mean m JOIN stack k USING (stack_id) JOIN clock USING (site_id)
WHERE NOT m.final AND m.superseded_at IS NULL AND k.withdrawn_at IS NULL
  AND m.start + interval '1 hour' + %(after)s <= clock.now
  AND m.start <= (SELECT max(now) FROM clock) - interval '1 hour' - %(after)s
  AND NOT EXISTS (SELECT FROM rejudge q WHERE q.stack_id = m.stack_id AND q.hour = m.start)
LIMIT %(most)s
"""
)
_ASK_RUNNING_MONTHS: Final[LiteralString] = (
    _CLOCKS
    + """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT DISTINCT v.stack_id, date_trunc('month', v.month::timestamp) AT TIME ZONE clock.timezone, 'ended'
FROM clock JOIN stack k USING (site_id) JOIN month_verdict v USING (stack_id)
WHERE NOT v.final AND v.superseded_at IS NULL AND k.withdrawn_at IS NULL
  AND date_trunc('hour', clock.now - %(after)s) > date_trunc('hour', v.as_of - %(after)s)
  AND NOT EXISTS (SELECT FROM rejudge q WHERE q.stack_id = v.stack_id)
LIMIT %(most)s
"""
)
# Of a stack that sends nothing nobody else would ask: for its running hour and the one that ended, once an hour.
_ASK_QUIET: Final[LiteralString] = (
    _CLOCKS
    + """
, quiet AS (
    SELECT k.stack_id, date_trunc('hour', clock.now - %(after)s, clock.timezone) AS hour
    FROM clock JOIN stack k USING (site_id) JOIN stack_latest l USING (stack_id)
    WHERE k.withdrawn_at IS NULL
      AND l.sampled_at + make_interval(secs => k.interval_s)
          + greatest(%(quiet)s, make_interval(secs => 2 * k.interval_s)) <= clock.now
), new AS (
    SELECT quiet.stack_id, quiet.hour FROM quiet LEFT JOIN stack_quiet q USING (stack_id)
    WHERE q.hour IS NULL OR q.hour < quiet.hour
    LIMIT %(most)s
), noted AS (
    INSERT INTO stack_quiet (stack_id, hour) SELECT stack_id, hour FROM new
    ON CONFLICT (stack_id) DO UPDATE SET hour = excluded.hour
)
INSERT INTO rejudge (stack_id, hour, reason)
SELECT new.stack_id, h.hour, 'silent'
FROM new CROSS JOIN LATERAL (VALUES (new.hour - interval '1 hour'), (new.hour)) h (hour)
"""
)
# Not hours whose rows are gone (store.retention): they would be asked for again at each start, and never be answered.
_ASK_OTHER_PACKS: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT DISTINCT v.stack_id, v.start, 'pack'
FROM unnest(%(packs)s::text[], %(versions)s::text[]) AS p (pack, version)
JOIN hour_verdict v ON v.pack = p.pack AND v.pack_version <> p.version
JOIN stack k USING (stack_id) LEFT JOIN kept_from f USING (site_id)
WHERE v.superseded_at IS NULL AND k.withdrawn_at IS NULL
  AND v.start >= coalesce(f.rows_from + interval '1 hour', '-infinity')
  AND NOT EXISTS (SELECT FROM rejudge q WHERE q.stack_id = v.stack_id AND q.hour = v.start)
"""
QUIET_AFTER: Final = timedelta(minutes=15)
"""A stack whose last row ended so long ago, or two of its intervals, is asked about: the timer of `data_missing`."""
PORTION: Final = 2_000  #: questions put in one transaction


async def ask_for_ended(conn: Connection, after_s: int, *, most: int | None = None) -> int:
    """Ask for up to *most* hours that the clocks have meanwhile ended; how many questions that were.

    In this order: hours with rows, stacks that send nothing, months in which an hour more has passed.
    """
    values = {"after": timedelta(seconds=after_s), "quiet": QUIET_AFTER, "most": most}
    asked = 0
    for query in (_ASK_ENDED_HOURS, _ASK_QUIET, _ASK_RUNNING_MONTHS):
        asked += (await conn.execute(query, values)).rowcount
        if asked and most is not None:
            break
    return asked


async def ask_for_other_packs(conn: Connection, versions: Mapping[str, str]) -> int:
    """Ask for every hour that stands under another version of a pack than today's. Reads every verdict, once."""
    values = {"packs": list(versions), "versions": list(versions.values())}
    return (await conn.execute(_ASK_OTHER_PACKS, values)).rowcount
