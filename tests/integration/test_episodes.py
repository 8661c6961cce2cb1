"""Episodes of a review as alerts in a database: opened, followed, graver, over, gone, and quiet where they must be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from alerts import episodes
from alerts.review import Checkpoint, Reviewed, review
from alerts.rows import Events
from alerts.rules.history import History
from alerts.rules.rule import UNDECIDED, Life, Outcomes, Rule
from alerts.subject import Subject
from alerts.suppressing import follow_silences, mark_sites_of, mark_stack
from fakes.api_rows import PACK, Rows, rows_in
from history_builders import FIRST, a_history, a_site, a_stack, outlet
from plant.periods import HOUR, instant
from store import findings
from store.alerts import acknowledge

pytestmark = pytest.mark.anyio

T0 = instant(FIRST)
H = timedelta(hours=1)


def says(levels: Sequence[int], name: str = "constant", *, pack: str | None = None, factor: float = 1.0) -> Rule:
    """A rule that finds in the hours from FIRST on what *levels* say."""

    def judge(history: History) -> list[Outcomes]:
        places = (history.start - FIRST) // HOUR
        said = np.array([levels[at] if 0 <= at < len(levels) else UNDECIDED for at in places], np.int8)
        return [
            Outcomes(
                level=said,
                observed=said.astype(np.float64) * factor,
                limit=np.zeros(said.size),
                evidence=lambda at: {"found": factor},
                pollutant="so2",
                pack=pack,
            )
        ]

    return Rule(name=name, judge=judge, unit="h", clause="[D]", reach_h=0, lead=True, life=Life())


@dataclass(slots=True)
class Works:
    """One registered stack, reviewed by hand."""

    conn: psycopg.AsyncConnection[Any]
    rows: Rows
    subject: Subject

    async def review(
        self, rules: Sequence[Rule], *, history: History | None = None, first: int = 0, before: Checkpoint | None = None
    ) -> tuple[Reviewed, list[str]]:
        """Review and write; what was announced, by name."""
        seen = a_history(48) if history is None else history
        reviewed = review(seen, before, first=first, rules=rules)
        async with self.conn.transaction():
            events = await episodes.apply(self.conn, self.subject, seen, reviewed, first=first, rules=rules)
            if events:
                events += await mark_stack(self.conn, self.subject.stack_id, events)
            await findings.announce(self.conn, events)
        return reviewed, [event for _, event in events]

    async def only(self, *columns: str) -> tuple[Any, ...]:
        cursor = await self.conn.execute(f"SELECT {', '.join(columns)} FROM alert")
        (row,) = await cursor.fetchall()
        return tuple(row)

    async def said(self) -> None:
        """A quarter of an hour passes."""
        await self.conn.execute("UPDATE alert SET opened_at = opened_at - interval '15 minutes'")

    async def announce(self, events: Events) -> list[str]:
        await findings.announce(self.conn, events)
        return [event for _, event in events]


@asynccontextmanager
async def works_in(database_url: str) -> AsyncIterator[Works]:
    async with rows_in(database_url) as rows:
        await rows.site()
        subject = Subject(
            site_id=await rows.value("SELECT site_id FROM site"),
            stack_id=await rows.stack_id(),
            site=a_site(),
            stack=a_stack(),
        )
        yield Works(rows.conn, rows, subject)


@pytest.fixture
async def works(database_url: str) -> AsyncIterator[Works]:
    async with works_in(database_url) as found:
        yield found


async def test_an_episode_opens_follows_its_hours_quietly_gets_graver_and_ends(works: Works) -> None:
    assert (await works.review([says([0, 2])]))[1] == ["opened"]
    assert (await works.review([says([0, 2, 2])]))[1] == []
    assert await works.only("state", "severity", "period_start", "period_end") == (
        "firing",
        "warning",
        T0 + H,
        T0 + 3 * H,
    )
    assert (await works.review([says([0, 2, 2, 3])]))[1] == ["escalated"]
    assert (await works.review([says([0, 2, 2, 3, 0])]))[1] == ["resolved"]
    assert await works.only("state", "severity", "ended_at", "observed") == ("resolved", "major", T0 + 4 * H, 2.0)


async def test_the_same_review_again_writes_nothing_new(works: Works) -> None:
    rules = [says([0, 2, 2, 0, 3, 3])]
    assert (await works.review(rules))[1] == ["opened", "resolved", "opened"]
    before = await works.rows.value("SELECT jsonb_agg(to_jsonb(a) ORDER BY alert_id) FROM alert a")
    assert (await works.review(rules))[1] == []
    assert await works.rows.value("SELECT jsonb_agg(to_jsonb(a) ORDER BY alert_id) FROM alert a") == before
    assert await works.rows.value("SELECT count(*) FROM alert_event") == 3


async def test_data_that_come_late_unmake_move_and_make_alerts_and_nothing_is_erased(works: Works) -> None:
    await works.review([says([0, 2, 2, 0])])
    assert (await works.review([says([0, 0, 2, 0])]))[1] == ["opened", "resolved", "withdrawn"]
    assert (await works.review([says([0, 2, 2, 0])]))[1] == ["reopened", "resolved", "withdrawn"]
    cursor = await works.conn.execute("SELECT state, period_start FROM alert ORDER BY period_start")
    assert await cursor.fetchall() == [("resolved", T0 + H), ("withdrawn", T0 + 2 * H)]


async def test_other_numbers_of_the_hour_that_it_fired_on_are_a_change(works: Works) -> None:
    await works.review([says([0, 2, 2])])
    assert (await works.review([says([0, 2, 2], factor=3.0)]))[1] == ["changed"]
    assert await works.only("observed", "evidence ->> 'found'") == (6.0, "3.0")


async def test_a_review_from_a_later_day_leaves_what_was_over_and_goes_on_with_what_was_open(works: Works) -> None:
    levels = [0, 2, 0] + [0] * 19 + [2] * 4
    whole, _ = await works.review([says(levels)])
    before = whole.checkpoints[date(2026, 10, 1)]
    reviewed, events = await works.review([says([*levels, 0])], first=24, before=before)
    assert events == ["resolved"]
    assert len(reviewed.open_before) == 1
    cursor = await works.conn.execute("SELECT period_start, state, ended_at FROM alert ORDER BY period_start")
    assert await cursor.fetchall() == [
        (T0 + H, "resolved", T0 + 2 * H),
        (T0 + 22 * H, "resolved", T0 + 26 * H),
    ]


async def test_what_was_only_pending_when_the_day_ended_and_never_fires_is_withdrawn(works: Works) -> None:
    held = replace(says([0] * 22 + [2, 2, 2]), life=Life(hold_h=3))
    whole, events = await works.review([held])
    assert events == ["opened"]
    quiet = replace(says([0] * 22 + [2, 2, 0]), life=Life(hold_h=3))
    _, events = await works.review([quiet], first=24, before=whole.checkpoints[date(2026, 10, 1)])
    assert events == ["withdrawn"]


async def test_who_saw_a_lesser_alert_is_asked_to_see_the_graver_one(works: Works) -> None:
    await works.review([says([0, 2])])
    (alert_id,) = await works.only("alert_id")
    await acknowledge(works.conn, alert_id, by="an officer", note="seen")
    assert (await works.review([says([0, 2, 2])]))[1] == []
    assert await works.only("state", "acknowledged_by") == ("acknowledged", "an officer")
    assert (await works.review([says([0, 2, 2, 4])]))[1] == ["escalated"]
    assert await works.only("state", "acknowledged_by") == ("firing", None)
    seen = "SELECT document ->> 'acknowledged_by' FROM alert_event WHERE event = 'acknowledged'"
    assert await works.rows.value(seen) == "an officer"


async def test_the_hours_it_stands_on_are_copied_the_first_and_the_last(works: Works) -> None:
    history = a_history(120)
    await works.review([says([0] * 60 + [2] * 60)], history=history)
    hours = await works.rows.value("SELECT body FROM alert_evidence")
    assert [hour["start"] for hour in hours] == sorted(hour["start"] for hour in hours)
    fired, last = T0 + 60 * H, T0 + 119 * H
    expected = [fired - n * H for n in range(24)] + [last - n * H for n in range(24)]
    assert {datetime.fromisoformat(hour["start"]) for hour in hours} == set(expected)
    at = next(hour for hour in hours if datetime.fromisoformat(hour["start"]) == fired)
    assert at["channels"]["main/so2"]["mean"] == history.value("main", "so2", "mean")[60]
    assert at["verdicts"][f"{PACK}/so2"]["verdict"] == "clear"


async def test_hours_that_the_history_no_longer_reaches_stay_as_they_were_copied(works: Works) -> None:
    levels = [0] * 23 + [2] * 25
    whole, _ = await works.review([says(levels)])
    later = a_history(48, first=FIRST + 24 * HOUR)
    await works.review([says([*levels, 3])], history=later, before=whole.checkpoints[date(2026, 10, 1)])
    hours = await works.rows.value("SELECT body FROM alert_evidence")
    assert hours[0]["start"] == T0.isoformat().replace("+00:00", "Z")


async def test_a_source_that_stops_makes_its_exceedance_quiet_and_heard_again_when_it_runs(works: Works) -> None:
    running = a_history(48)
    stopped = outlet(running, slice(40, 48), stopped_s=3600.0)
    rules = [says([0, 2], "budget", pack=PACK), says([0, 2])]
    assert (await works.review(rules, history=running))[1] == ["opened", "opened"]
    assert (await works.review(rules, history=stopped))[1] == [], "it is heard first"
    await works.review(rules, history=running)
    await works.said()
    assert (await works.review(rules, history=stopped))[1] == ["suppressed"]
    quiet = "SELECT rule, suppressed_by FROM alert WHERE suppressed_by IS NOT NULL"
    assert await (await works.conn.execute(quiet)).fetchall() == [("budget", [{"reason": "source_stopped"}])]
    assert (await works.review(rules, history=stopped))[1] == []
    assert (await works.review(rules, history=running))[1] == ["unsuppressed"]
    assert await works.rows.value("SELECT count(suppressed_by) FROM alert") == 0


async def test_missing_data_is_quiet_while_the_only_edge_that_feeds_the_stack_is_offline(works: Works) -> None:
    await works.review([says([0, 2], "data_missing")])
    await works.rows.frame(1, T0, edge="gate-1")
    await works.rows.measurement(T0)
    await works.conn.execute(
        """UPDATE measurement SET batch_id = (SELECT max(batch_id) FROM batch);
        INSERT INTO stack_latest (stack_id, sampled_at) SELECT stack_id, sampled_at FROM measurement"""
    )
    await offline(works, "gate-1")
    assert await works.announce(await mark_sites_of(works.conn, [("al-edge", "opened")])) == ["suppressed"]
    await works.conn.execute("UPDATE alert SET state = 'resolved', ended_at = now() WHERE rule = 'edge_offline'")
    assert await works.announce(await mark_sites_of(works.conn, [("al-edge", "resolved")])) == ["unsuppressed"]


async def offline(works: Works, edge: str) -> None:
    await works.conn.execute(
        """INSERT INTO alert (alert_id, rule, severity, state, site_id, period_start, period_end, started_at, clause,
            evidence)
        SELECT 'al-edge', 'edge_offline', 'warning', 'firing', site_id, %s, %s, %s, 'transport',
            jsonb_build_object('edge', %s::text) FROM site""",
        [T0, T0, T0, edge],
    )


async def test_a_silence_begins_and_ends_with_the_tick_and_only_marks(works: Works) -> None:
    await works.review([says([0, 3])])
    await works.conn.execute(
        """INSERT INTO silence (site_id, rules, audience, owner, reason, start_at, end_at, created_by)
        SELECT site_id, '{constant}', 'everyone', 'shift 2', 'the analyser is being replaced', %s, %s, 'a watch'
        FROM site""",
        [T0 + H, T0 + 5 * H],
    )
    silence_id = await works.rows.value("SELECT silence_id FROM silence")
    for hours, marked in ((0, None), (1, [{"reason": "silence", "by": silence_id}]), (5, None)):
        await follow_silences(works.conn, now=T0 + hours * H)
        await follow_silences(works.conn, now=T0 + hours * H)
        assert await works.only("state", "suppressed_by") == ("firing", marked), hours
    events = await works.rows.value("SELECT array_agg(event ORDER BY event_id) FROM alert_event")
    assert events == ["opened", "suppressed", "unsuppressed"]


async def test_a_silence_that_a_person_ends_is_over_with_the_next_tick(works: Works) -> None:
    now = datetime.now(UTC)
    await works.review([says([0, 3])])
    await works.conn.execute(
        """INSERT INTO silence (region_id, audience, owner, reason, start_at, end_at, created_by)
        SELECT region_id, 'everyone', 'shift 2', 'a drill', %s, %s, 'a watch' FROM region""",
        [now - H, now + 5 * H],
    )
    await follow_silences(works.conn, now=now)
    assert (await works.only("suppressed_by IS NOT NULL"))[0]
    await works.conn.execute(
        "UPDATE silence SET ended_at = now(), ended_by = 'a watch', ended_why = 'the drill is over'"
    )
    await follow_silences(works.conn, now=now)
    assert not (await works.only("suppressed_by IS NOT NULL"))[0]


async def test_a_plants_own_silence_leaves_the_alert_to_everybody_else(works: Works) -> None:
    await works.review([says([0, 2], "data_missing")])
    await works.conn.execute(
        """INSERT INTO silence (site_id, rules, audience, owner, reason, start_at, end_at, created_by)
        SELECT site_id, '{data_missing}', 'plant', 'control room', 'line cut', %s, %s, 'an operator' FROM site""",
        [T0, T0 + 5 * H],
    )
    await follow_silences(works.conn, now=T0 + H)
    suppressed_by, own = await works.only("suppressed_by", "plant_silence")
    assert (suppressed_by, own) == (None, await works.rows.value("SELECT silence_id FROM silence"))
    assert await works.rows.value("SELECT count(*) FROM alert_event") == 1


async def test_what_two_transactions_did_not_see_of_one_another_is_made_good_in_ten_minutes(works: Works) -> None:
    await works.review([says([0, 2], "budget", pack=PACK)])
    await works.conn.execute("INSERT INTO stack_stopped SELECT stack_id FROM stack")
    await works.said()
    for tick in range(60):
        await follow_silences(works.conn, now=T0 + timedelta(seconds=10 * tick))
    assert await works.only("suppressed_by") == ([{"reason": "source_stopped"}],)
