"""Marks from draft to decision, over a real database: drafted from rows, filed, queued, decided."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from alerts.marks.keeping import draft_marks
from alerts.subject import Subject
from api.app import create_app
from builders import WORKS, Pipe, a_frame, a_pipe, minutes
from fakes.api_rows import Rows, rows_in
from plant.periods import HOUR, micros
from plant.settings import Settings
from store.pool import transaction
from store.register import site_by_code

pytestmark = pytest.mark.anyio

LATER = "2026-11-20T00:00:00Z"
POLICY = WORKS.replace(
    "lift_after_clean_hours = 6\n",
    "lift_after_clean_hours = 6\n  [region.marks]\n  deadline_h = 12\n    [region.marks.quota_h]\n    fault = 3\n",
)


@dataclass(frozen=True, slots=True)
class Desk:
    """The pipe, and people at the API of the same database."""

    pipe: Pipe
    http: httpx.AsyncClient
    rows: Rows

    async def say(self, path: str, who: dict[str, str], body: dict[str, Any] | None = None) -> Any:
        answer = await (
            self.http.get(path, headers=who) if body is None else self.http.post(path, headers=who, json=body)
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, path: str, who: dict[str, str], body: dict[str, Any]) -> int:
        return (await self.http.post(path, headers=who, json=body)).status_code

    async def draft(self, start: str, n_hours: int, *, stack: str = "DA001") -> None:
        """Draft what the hours from *start* say."""
        first = micros(datetime.fromisoformat(start))
        async with transaction(self.pipe.pool) as conn:
            registered = await site_by_code(conn, "works")
            assert registered is not None
            found = next(one for one in registered.site.stacks if one.code == stack)
            subject = Subject(
                site_id=registered.site_id, stack_id=registered.stack_ids[stack], site=registered.site, stack=found
            )
            await draft_marks(conn, subject, [first + number * HOUR for number in range(n_hours)])


@asynccontextmanager
async def a_desk(database_url: str, register: str = WORKS) -> AsyncIterator[Desk]:
    app = create_app(Settings(database_url=database_url))
    async with (
        a_pipe(database_url, register) as pipe,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield Desk(pipe, http, rows)


def times(found: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["start"], one["end"]) for one in found]


async def test_a_stop_is_drafted_filed_and_then_open_no_more(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        operator, watch = await desk.rows.token("operator", sites=["works"]), await desk.rows.token("watch")
        stop = minutes("2026-11-10T22:20:00+08:00", 200, state="stopped", so2=1.0, o2=20.0)
        await desk.pipe.publish(a_frame(stop + minutes("2026-11-11T01:40:00+08:00", 60, state="running", so2=20.0)))
        await desk.pipe.tick("2026-11-11T03:00:00+08:00")
        drafts = (await desk.say("/v1/marks/drafts", operator))["items"]
        assert times(drafts) == [
            ("stopped", "2026-11-10T16:00:00Z", "2026-11-10T17:40:00Z"),
            ("stopped", "2026-11-10T14:20:00Z", "2026-11-10T16:00:00Z"),
        ]
        assert [(draft["goes_on"], draft["late"], draft["deadline"]) for draft in drafts] == [
            (False, False, "2026-11-11T17:40:00Z"),
            (True, False, "2026-11-11T16:00:00Z"),
        ]
        assert drafts[0]["evidence"] == {"instruments": ["main"], "channels": [], "rows": 100, "stretches": 1}
        chosen = {"ids": [draft["id"] for draft in drafts], "reason": "planned stop"}
        assert await desk.refused("/v1/marks/drafts/file", watch, chosen) == 403
        # One stop over midnight is one mark.
        (mark,) = (await desk.say("/v1/marks/drafts/file", operator, chosen))["items"]
        assert (mark["kind"], mark["start"], mark["end"], mark["source"]) == (
            "stopped",
            "2026-11-10T14:20:00Z",
            "2026-11-10T17:40:00Z",
            "auto",
        )
        assert mark["drafts"] == [drafts[1]["id"], drafts[0]["id"]]
        assert (await desk.say("/v1/marks/drafts", operator))["items"] == []
        filed = (await desk.say("/v1/marks/drafts?status=filed", operator))["items"]
        assert [draft["unfiled_start"] for draft in filed] == [None, None]
        assert await desk.refused("/v1/marks/drafts/file", operator, chosen) == 409
        assert (await desk.say("/v1/marks/queue", watch))["items"][0]["hours"] == pytest.approx(200 / 60)


async def test_the_few_minutes_of_a_stop_before_midnight_are_open_until_they_are_filed_with_the_rest(
    database_url: str,
) -> None:
    async with a_desk(database_url) as desk:
        operator = await desk.rows.token("operator")
        await desk.pipe.publish(a_frame(minutes("2026-11-10T23:50:00+08:00", 130, state="stopped", so2=1.0)))
        await desk.draft("2026-11-10T23:00:00+08:00", 3)
        drafts = (await desk.say("/v1/marks/drafts", operator))["items"]
        assert times(drafts) == [
            ("stopped", "2026-11-10T16:00:00Z", "2026-11-10T18:00:00Z"),
            ("stopped", "2026-11-10T15:50:00Z", "2026-11-10T16:00:00Z"),
        ]
        chosen = {"ids": [draft["id"] for draft in drafts], "reason": "planned stop"}
        filed = (await desk.say("/v1/marks/drafts/file", operator, chosen))["items"]
        assert times(filed) == [("stopped", "2026-11-10T15:50:00Z", "2026-11-10T18:00:00Z")]
        assert (await desk.say("/v1/marks/drafts", operator))["items"] == []


async def test_a_draft_grows_with_its_condition_and_asks_again_for_what_is_not_filed(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        operator = await desk.rows.token("operator")
        await desk.pipe.publish(a_frame(minutes("2026-11-10T08:00:00+08:00", 60, flag="D", so2=1.0)))
        await desk.draft("2026-11-10T08:00:00+08:00", 1)
        (draft,) = (await desk.say("/v1/marks/drafts", operator))["items"]
        chosen = {"ids": [draft["id"]], "reason": "broken pump"}
        await desk.say("/v1/marks/drafts/file", operator, chosen)
        await desk.pipe.publish(a_frame(minutes("2026-11-10T09:00:00+08:00", 50, flag="D", so2=1.0)))
        await desk.draft("2026-11-10T09:00:00+08:00", 1)
        (again,) = (await desk.say("/v1/marks/drafts", operator))["items"]
        assert (again["id"], again["end"], again["unfiled_start"]) == (
            draft["id"],
            "2026-11-10T01:50:00Z",
            "2026-11-10T01:00:00Z",
        )
        (more,) = (await desk.say("/v1/marks/drafts/file", operator, chosen))["items"]
        assert (more["start"], more["end"]) == ("2026-11-10T01:00:00Z", "2026-11-10T01:50:00Z")


async def test_rows_that_carry_the_end_of_their_interval_are_drafted_where_it_was(database_url: str) -> None:
    register = WORKS.replace("interval_s = 60\n", 'interval_s = 3600\nstamped = "end"\n')
    async with a_desk(database_url, register) as desk:
        operator = await desk.rows.token("operator")
        row = {"stack": "DA001", "sampled_at": "2026-11-10T09:00:00+08:00", "interval_s": 3600, "so2": 1.0}
        await desk.pipe.publish(a_frame([row | {"state": "stopped"}]))
        await desk.pipe.tick(LATER)
        drafts = (await desk.say("/v1/marks/drafts", operator))["items"]
        assert times(drafts) == [("stopped", "2026-11-10T00:00:00Z", "2026-11-10T01:00:00Z")]


async def test_what_was_dismissed_stays_so_and_what_late_rows_unmake_goes(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        operator = await desk.rows.token("operator")
        fault = minutes("2026-11-10T08:10:00+08:00", 40, flag="D", so2=1.0)
        calibration = minutes("2026-11-10T10:10:00+08:00", 40, flag="C", so2=1.0)
        await desk.pipe.publish(a_frame(fault + calibration))
        await desk.draft("2026-11-10T08:00:00+08:00", 3)
        calibrated, faulty = (await desk.say("/v1/marks/drafts", operator))["items"]
        assert (calibrated["kind"], faulty["kind"]) == ("calibration", "fault")
        refusal = {"ids": [faulty["id"]], "reason": "the flag was wrong"}
        await desk.say("/v1/marks/drafts/dismiss", operator, refusal)
        assert await desk.refused("/v1/marks/drafts/dismiss", operator, refusal) == 409
        keyed, filing = operator | {"Idempotency-Key": "once"}, {"ids": [calibrated["id"]], "reason": "span gas"}
        filed = await desk.say("/v1/marks/drafts/file", keyed, filing)
        # The fault turns out to have begun earlier, the calibration never to have been.
        earlier = minutes("2026-11-10T08:04:00+08:00", 6, flag="D", so2=1.0)
        measured = [row | {"flag": "N", "revision": 1} for row in calibration]
        await desk.pipe.publish(a_frame(earlier))
        await desk.pipe.publish(a_frame(measured))
        await desk.draft("2026-11-10T08:00:00+08:00", 3)
        assert (await desk.say("/v1/marks/drafts", operator))["items"] == []
        kept = (await desk.say("/v1/marks/drafts?status=dismissed", operator))["items"]
        assert [(draft["id"], draft["dismissed_reason"]) for draft in kept] == [(faulty["id"], "the flag was wrong")]
        assert await desk.refused("/v1/marks/drafts/file", operator, filing) == 404, "late rows took it away"
        assert await desk.say("/v1/marks/drafts/file", keyed, filing) == filed, "and it was filed once, before"


@pytest.mark.both_databases
async def test_the_same_rows_give_the_same_drafts_in_whatever_order_they_come(
    postgres_url_factory: Callable[[], str],
) -> None:
    rng = random.Random(7)
    rows: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = [{}, {"flag": "C"}, {"state": "stopped"}, {}, {"flags": {"o2": "M"}}, {"flag": "D"}]
    for hour, values in enumerate(said * 8):
        start = datetime(2026, 11, 9, 20, tzinfo=UTC) + timedelta(minutes=47 * hour)
        rows += minutes(start.isoformat(), 47, so2=20.0, **values)

    async def drafts(pieces: list[list[dict[str, Any]]]) -> list[tuple[Any, ...]]:
        async with a_desk(postgres_url_factory()) as desk:
            for piece in pieces:
                await desk.pipe.publish(a_frame(piece))
                touched = sorted({row["sampled_at"][:13] for row in piece})
                for hour in touched:
                    await desk.draft(f"{hour}:00:00+00:00", 1)
            return await desk.pipe.rows(
                "SELECT draft_id, kind, cause, start_at, end_at, goes_on, evidence FROM mark_draft ORDER BY draft_id"
            )

    in_order = [rows[at : at + 100] for at in range(0, len(rows), 100)]
    mixed = rng.sample(rows, len(rows))
    shuffled = [mixed[at : at + 300] for at in range(0, len(mixed), 300)] + [rows[:500]]
    first = await drafts(in_order)
    assert len(first) > 20
    assert await drafts(shuffled) == first


async def test_deadline_lateness_and_quota_are_the_regions_policy(database_url: str) -> None:
    async with a_desk(database_url, POLICY) as desk:
        operator = await desk.rows.token("operator")
        filed = []
        for day, hours in ((1, 2), (2, 2)):
            body = {
                "site": "works",
                "stack": "DA001",
                "kind": "fault",
                "start": f"2026-02-0{day}T08:00:00+08:00",
                "end": f"2026-02-0{day}T{8 + hours:02}:00:00+08:00",
                "reason": "pump",
            }
            filed.append(await desk.say("/v1/marks", operator, body))
        far = {**body, "start": "2036-01-01T00:00:00+08:00", "end": "2036-01-01T01:00:00+08:00", "kind": "stopped"}
        planned = await desk.say("/v1/marks", operator, far)
        assert [(mark["deadline"], mark["late"]) for mark in filed] == [
            ("2026-02-01T14:00:00Z", True),
            ("2026-02-02T14:00:00Z", True),
        ]
        assert (planned["late"], planned["quota"], planned["source"]) == (False, None, "manual")
        assert filed[0]["quota"] == {"hours": 3, "year": 2026, "used_h": 2, "over": False}
        again = await desk.say(f"/v1/marks/{filed[0]['id']}", operator)
        assert again["quota"] == {"hours": 3, "year": 2026, "used_h": 4, "over": True}
        reviewer = await desk.rows.token("reviewer")
        await desk.say(f"/v1/marks/{filed[1]['id']}/decision", reviewer, {"decision": "rejected", "reason": "no fault"})
        assert (await desk.say(f"/v1/marks/{filed[0]['id']}", operator))["quota"]["used_h"] == 2


async def test_the_effect_of_a_mark_is_the_same_before_its_decision_and_after_it_and_the_month_follows(
    database_url: str,
) -> None:
    async with a_desk(database_url) as desk:
        operator, reviewer = await desk.rows.token("operator"), await desk.rows.token("reviewer")
        good = minutes("2026-11-10T06:00:00+08:00", 120, so2=20.0, nox=20.0, pm=2.0, o2=16.0)
        bad = minutes("2026-11-10T08:00:00+08:00", 60, so2=90.0, nox=20.0, pm=2.0, o2=16.0)
        await desk.pipe.publish(a_frame(good + bad))
        await desk.pipe.tick(LATER)
        body = {
            "site": "works",
            "stack": "DA001",
            "kind": "start_up",
            "start": "2026-11-10T08:05:00+08:00",
            "end": "2026-11-10T09:00:00+08:00",
            "reason": "lighting",
        }
        mark = await desk.say("/v1/marks", operator, body)
        await desk.pipe.judge()
        (group,) = (await desk.say("/v1/marks/queue", reviewer))["items"]
        before = await desk.say(f"/v1/marks/{mark['id']}/effect", reviewer)
        assert group["marks"][0]["effect"] == before["effect"]
        so2 = next(month for month in before["effect"]["months"] if month["pollutant"] == "so2")
        assert (so2["month"], so2["pack"]) == ("2026-11", "cn-steel-ule-2019")
        assert [so2[side]["hours_above"] for side in ("not_accepted", "accepted")] == [1, 0]
        assert [so2[side]["share"] for side in ("not_accepted", "accepted")] == [pytest.approx(2 / 3), 1.0]
        assert so2["accepted"]["hours_excluded"] == {"not_running": 1}
        assert [hour["pollutant"] for hour in before["effect"]["hours"]] == ["nox", "pm", "so2"]
        assert before["effect"]["hours"][2]["not_accepted"]["verdict"] == "breached"
        assert before["effect"]["hours"][2]["accepted"] == {
            "verdict": "excluded",
            "reason": "not_running",
            "claimed": False,
        }
        assert await standing_month(desk) == (1, so2["not_accepted"]["share"], so2["not_accepted"]["budget_left"])

        decision = {"ids": [mark["id"]], "decision": "accepted", "reason": "power agrees"}
        decided = await desk.say("/v1/marks/decisions", reviewer, decision)
        assert decided["items"][0]["status"] == "accepted"
        assert decided["effects"] == [{"site": "works", "stack": "DA001", "effect": before["effect"]}]
        await desk.pipe.judge()
        assert await standing_month(desk) == (0, 1.0, so2["accepted"]["budget_left"])
        after = await desk.say(f"/v1/marks/{mark['id']}/effect", reviewer)
        assert after["effect"] == before["effect"]
        assert (await desk.say("/v1/marks/queue", reviewer))["items"] == []


async def standing_month(desk: Desk) -> tuple[Any, ...]:
    (row,) = await desk.pipe.rows(
        "SELECT hours_above, share, budget_left FROM month_verdict WHERE pollutant = 'so2' AND superseded_at IS NULL"
    )
    return row


async def test_a_bulk_decision_is_taken_whole_or_not_at_all(database_url: str) -> None:
    async with a_desk(database_url) as desk:
        operator, reviewer = await desk.rows.token("operator"), await desk.rows.token("reviewer")
        body = {"site": "works", "stack": "DA001", "reason": "as planned"}
        filed = []
        for hour, kind in enumerate(("calibration", "stopped", "calibration"), start=8):
            times_of = {"start": f"2026-11-10T{hour:02}:00:00+08:00", "end": f"2026-11-10T{hour:02}:30:00+08:00"}
            filed.append((await desk.say("/v1/marks", operator, {**body, **times_of, "kind": kind}))["id"])
        await desk.pipe.tick(LATER)
        first, second, third = filed
        queue = (await desk.say("/v1/marks/queue?limit=2", reviewer))["items"]
        assert [(group["kind"], [mark["id"] for mark in group["marks"]]) for group in queue] == [
            ("calibration", [first, third])
        ]
        following = (await desk.say("/v1/marks/queue?limit=2", reviewer))["next"]
        rest = (await desk.say(f"/v1/marks/queue?limit=2&cursor={following}", reviewer))["items"]
        assert [(group["kind"], [mark["id"] for mark in group["marks"]]) for group in rest] == [("stopped", [second])]

        await desk.say(f"/v1/marks/{second}/decision", reviewer, {"decision": "rejected", "reason": "it ran"})
        both = {"ids": [first, second], "decision": "accepted", "reason": "seen"}
        assert await desk.refused("/v1/marks/decisions", reviewer, both) == 409
        assert await desk.refused("/v1/marks/decisions", reviewer, {**both, "ids": [first, 4711]}) == 404
        assert await desk.refused("/v1/marks/decisions", operator, both) == 403
        assert (await desk.say(f"/v1/marks/{first}", reviewer))["status"] == "pending"

        keyed = reviewer | {"Idempotency-Key": "bulk-1"}
        decision = {**both, "ids": [third, first]}
        answer = await desk.say("/v1/marks/decisions", keyed, decision)
        assert [(mark["id"], mark["status"]) for mark in answer["items"]] == [(first, "accepted"), (third, "accepted")]
        assert await desk.say("/v1/marks/decisions", keyed, decision) == answer
