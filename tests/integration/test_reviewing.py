"""What is looked back on after an hour was judged: silence, days, what another stack shows, what an upgrade needs."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts.judge import Subject, glance, judge_stack
from builders import REGION, WORKS, Pipe, a_frame, a_pipe, minutes
from plant.periods import HOUR, micros
from store.pool import transaction
from store.register import site_by_code

pytestmark = pytest.mark.anyio
MORNING: Final = datetime(2026, 11, 10, 0, tzinfo=UTC)  # eight o'clock in Shanghai
RANGES: Final = WORKS + "    [site.stack.channels.o2]\n    range = [0, 25]\n"
TWO_STACKS: Final = (
    REGION
    + """
[[site]]
code = "works"
name = "A works"
region = "hebei"
timezone = "Asia/Shanghai"
"""
    + "".join(
        f"""
  [[site.stack]]
  code = "{code}"
  name = "Sinter head"
  process = "sinter_head"
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
"""
        for code in ("DA001", "DA002")
    )
)
ALERTS: Final = "SELECT state, period_start, ended_at FROM alert WHERE rule = %s ORDER BY period_start"


def at(hour: float) -> datetime:
    return MORNING + timedelta(hours=hour)


async def publish(pipe: Pipe, hour: float, n: int = 60, **values: Any) -> None:
    rows = minutes(at(hour).isoformat(), n, **({"so2": 20.0, "o2": 16.0} | values))
    await pipe.publish(a_frame(rows), received_at=at(hour + 2))


async def events(pipe: Pipe, rule: str) -> list[str]:
    found = await pipe.rows(
        "SELECT event FROM alert_event JOIN alert USING (alert_id) WHERE rule = %s ORDER BY event_id", rule
    )
    return [event for (event,) in found]


async def test_a_silent_stack_is_missed_without_a_row_and_its_late_rows_undo_that(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await publish(pipe, 0)
        await pipe.tick(at(1.1))
        assert await pipe.rows(ALERTS, "data_missing") == []
        await pipe.tick(at(1.5))
        assert await pipe.rows(ALERTS, "data_missing") == [("firing", at(1), None)]
        await publish(pipe, 1)
        await pipe.tick(at(2.1))
        assert await pipe.rows(ALERTS, "data_missing") == [("withdrawn", at(1), None)]
        assert await events(pipe, "data_missing") == ["opened", "withdrawn"]


async def test_a_stage_that_is_far_behind_misses_no_rows_that_it_has_not_read_yet(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        pipe.stage.work.claim_hours = 2
        for hour in (0, 1, 2, 3, 5, 6, 7):
            await publish(pipe, hour)
        await pipe.tick(at(8.1))
        assert await pipe.rows(ALERTS, "data_missing") == [("resolved", at(4), at(5))]
        assert await events(pipe, "data_missing") == ["opened", "resolved"]


async def test_what_goes_on_over_midnight_is_one_alert_though_only_new_days_are_folded(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        for hour in range(14, 20):  # midnight in Shanghai lies in between
            await publish(pipe, hour, so2=-20.0)
            await pipe.tick(at(hour + 1.1))
        for hour in range(20, 24):
            await publish(pipe, hour)
            await pipe.tick(at(hour + 1.1))
        found = await pipe.rows(ALERTS, "negative")
        days = await pipe.rows("SELECT day::text, state <> '{}' FROM life ORDER BY day")
    assert [(state, ended) for state, _, ended in found] == [("resolved", at(20))]
    assert days == [("2026-11-10", True)]


async def test_a_day_is_saved_only_when_all_its_hours_have_ended(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await publish(pipe, 14)
        await publish(pipe, 15)
        await pipe.tick(at(15.1))
        await pipe.tick(at(16) + timedelta(seconds=119))
        before = await pipe.rows("SELECT day::text FROM life")
        await pipe.tick(at(16) + timedelta(seconds=120))
        after = await pipe.rows("SELECT day::text FROM life")
    assert (before, after) == ([], [("2026-11-10",)])


async def test_silent_days_in_between_are_folded_too(database_url: str) -> None:
    """A stack that says nothing for three days and is not asked about: what was open before stays open."""
    async with a_pipe(database_url, RANGES.replace('code = "works"', 'code = "works"\nsimulated = true', 1)) as pipe:
        await publish(pipe, 0)
        for hour in range(1, 8):
            await publish(pipe, hour, so2=-20.0)
        await pipe.tick(at(8))
        await publish(pipe, 80)
        await publish(pipe, 81)
        await pipe.tick(at(90))
        first = await pipe.rows(ALERTS, "negative")
        for hour in (82, 83, 84):
            await publish(pipe, hour)
        await pipe.tick(at(91))
        last = await pipe.rows(ALERTS, "negative")
        missing = await pipe.rows(ALERTS, "data_missing")
    assert [state for state, *_ in first] == ["firing"]
    assert [(state, ended) for state, _, ended in last] == [("resolved", at(80))]
    assert [(start, ended) for _, start, ended in missing] == [(at(8), at(80))]


async def test_two_stacks_that_show_the_same_both_get_an_alert_and_both_lose_it(database_url: str) -> None:
    rng = random.Random(3)
    rows = [row | {"so2": round(rng.gauss(20, 2), 1), "o2": 16.0} for row in minutes(at(0).isoformat(), 60)]
    other = [row | {"stack": "DA002"} for row in rows]
    async with a_pipe(database_url, TWO_STACKS) as pipe:
        await pipe.publish(a_frame(rows), received_at=at(2))
        await pipe.tick(at(1.1))
        assert await pipe.rows(ALERTS, "sibling_identity") == []
        await pipe.publish(a_frame(other), received_at=at(2))
        await pipe.tick(at(1.2))
        both = await pipe.rows("SELECT state, pollutant FROM alert WHERE rule = 'sibling_identity'")
        honest = [row | {"so2": row["so2"] + i % 3 + 1, "revision": 1} for i, row in enumerate(other)]
        await pipe.publish(a_frame(honest), received_at=at(2))
        await pipe.tick(at(1.3))
        undone = await pipe.rows("SELECT state, pollutant FROM alert WHERE rule = 'sibling_identity'")
        waiting = await pipe.rows("SELECT count(*) FROM rejudge")
    assert both == [("firing", "so2")] * 2
    assert undone == [("withdrawn", "so2")] * 2
    assert waiting == [(0,)]


async def test_a_stack_that_no_longer_shows_what_another_did_has_that_one_looked_at_too(database_url: str) -> None:
    """Though its own alert only follows quietly, and by then the local day is another."""

    async def show(pipe: Pipe, hour: int, stack: str, seed: int, **others: Any) -> None:
        rng = random.Random(seed)
        rows = [row | {"so2": round(rng.gauss(20, 2), 1), "o2": 16.0} for row in minutes(at(hour).isoformat(), 60)]
        await pipe.publish(a_frame([row | {"stack": stack} | others for row in rows]), received_at=at(hour + 2))

    async with a_pipe(database_url, TWO_STACKS) as pipe:
        for hour in range(14, 24):  # midnight in Shanghai is at 16
            await show(pipe, hour, "DA001", hour)
            await show(pipe, hour, "DA002", hour if hour < 16 else 100 + hour)
            await pipe.tick(at(hour + 1.1))
            if hour == 17:
                await show(pipe, 15, "DA002", 200, revision=1)
        found = await pipe.rows(
            "SELECT period_start, period_end, ended_at FROM alert WHERE rule = 'sibling_identity' ORDER BY stack_id"
        )
    assert found == [(at(14), at(15), at(15))] * 2


async def test_two_stacks_that_were_judged_at_once_see_each_other_an_hour_later_over_midnight_too(
    database_url: str,
) -> None:
    async with a_pipe(database_url, TWO_STACKS) as pipe:
        for hour in (14, 15, 16):  # midnight in Shanghai is at 16
            for number, stack in enumerate(("DA001", "DA002")):
                rng = random.Random(15 if hour == 15 else 100 * number + hour)
                rows = [row | {"so2": round(rng.gauss(20, 2), 1)} for row in minutes(at(hour).isoformat(), 60, o2=16.0)]
                await pipe.publish(a_frame([row | {"stack": stack} for row in rows]), received_at=at(hour + 2))
            if hour == 15:
                await judged_at_once(pipe, at(hour))
                assert await pipe.rows(ALERTS, "sibling_identity") == []
            else:
                await pipe.tick(at(hour + 1.1))
        assert await pipe.rows(ALERTS, "sibling_identity") == [("firing", at(15), None)] * 2


async def judged_at_once(pipe: Pipe, hour: datetime) -> None:
    """Both stacks of the works, in two transactions of which neither sees the other."""
    async with transaction(pipe.pool) as one, transaction(pipe.pool) as other:
        works = await site_by_code(one, "works")
        assert works is not None
        for conn, stack in zip((one, other), works.site.stacks, strict=True):
            subject = Subject(site_id=works.site_id, stack_id=works.stack_ids[stack.code], site=works.site, stack=stack)
            await judge_stack(conn, subject, [micros(hour)], now=micros(hour + timedelta(hours=1.1)))


async def test_an_irrecoverable_hour_opens_while_it_runs_and_ends_with_it(database_url: str) -> None:
    async with a_pipe(database_url, RANGES) as pipe:
        await publish(pipe, 0, n=50, so2=150.0)
        await pipe.tick(at(0.9))
        running = await pipe.rows(ALERTS, "irrecoverable_hour")
        for minute in range(50, 60):
            await publish(pipe, minute / 60, n=1, so2=150.0)
        await pipe.tick(at(1.1))
        ended = await pipe.rows(ALERTS, "irrecoverable_hour")
        said = await events(pipe, "irrecoverable_hour")
    assert running == [("firing", at(0), None)]
    assert ended == [("resolved", at(0), at(1))]
    assert said == ["opened", "resolved"]


async def test_an_hour_that_was_judged_before_this_version_is_digested_when_it_is_asked_for(
    database_url: str,
) -> None:
    async with a_pipe(database_url) as pipe:
        await publish(pipe, 0, so2=-20.0)
        await pipe.tick(at(1.1))
        before = await pipe.rows("SELECT start, layout, features, blocks, verdicts FROM hour_feature")
        async with transaction(pipe.pool) as conn:
            await conn.execute("TRUNCATE hour_feature, life")
            await conn.execute(
                "INSERT INTO rejudge (stack_id, hour, reason)"
                " SELECT DISTINCT stack_id, start, 'features' FROM hour_mean"
            )
        await pipe.judge()
        after = await pipe.rows("SELECT start, layout, features, blocks, verdicts FROM hour_feature")
    assert before == after
    assert len(after) == 1


async def test_an_hour_judged_again_without_news_writes_nothing(database_url: str) -> None:
    written = (
        "SELECT max(xmin::text::bigint) FROM (SELECT xmin FROM hour_mean UNION ALL SELECT xmin FROM hour_verdict"
        " UNION ALL SELECT xmin FROM hour_feature UNION ALL SELECT xmin FROM alert UNION ALL SELECT xmin FROM life) x"
    )
    async with a_pipe(database_url) as pipe:
        await publish(pipe, 0, so2=-20.0)
        await pipe.tick(at(1.1))
        before = await pipe.rows(written)
        async with transaction(pipe.pool) as conn:
            await conn.execute(
                "INSERT INTO rejudge (stack_id, hour, reason) SELECT stack_id, start, 'mark' FROM hour_feature"
            )
        await pipe.judge()
        assert await pipe.rows(written) == before


async def test_an_hour_in_a_zone_that_is_off_by_half_an_hour_is_looked_back_on(
    postgres_url_factory: Callable[[], str],
) -> None:
    async with a_pipe(postgres_url_factory(), WORKS.replace("Asia/Shanghai", "Asia/Kolkata")) as pipe:
        for hour in (0.5, 1.5, 2.5):
            await publish(pipe, hour, so2=-20.0)
        await pipe.tick(at(3.6))
        found = await pipe.rows("SELECT start FROM hour_feature ORDER BY start")
        alerts = await pipe.rows(ALERTS, "negative")
    assert [start for (start,) in found] == [at(0.5), at(1.5), at(2.5)]
    assert [state for state, *_ in alerts] == ["firing"]


async def test_an_hour_into_which_only_the_last_row_of_a_late_block_reaches_was_read(database_url: str) -> None:
    """That row asks for the hour behind its own, of which there is no row: it is missed as in the order of time."""
    async with a_pipe(database_url) as pipe:
        await publish(pipe, 0)
        await publish(pipe, 40)
        await pipe.tick(at(41.1))
        await publish(pipe, 1 + 17 / 3600)  # each minute at 17 s
        await pipe.tick(at(41.2))
        found = await pipe.rows(ALERTS, "data_missing")
    assert [(start, ended) for state, start, ended in found if state != "withdrawn"] == [(at(2), at(40))]


SETTLING: Final = WORKS.replace("interval_s = 60", "interval_s = 60\n  settle_s = 1800")


async def test_a_calibration_that_comes_late_takes_its_gas_out_of_the_next_hour_too(
    postgres_url_factory: Callable[[], str],
) -> None:
    verdicts = "SELECT start, verdict, reason, corrected FROM hour_verdict WHERE superseded_at IS NULL ORDER BY 1"

    async def told(hours: tuple[float, ...]) -> list[tuple[Any, ...]]:
        async with a_pipe(postgres_url_factory(), SETTLING) as pipe:
            for hour in hours:
                if hour == 0.5:
                    await publish(pipe, hour, n=30, flag="C")
                else:
                    await publish(pipe, hour, n=30 if hour == 0 else 60)
                await pipe.tick(at(3.1))
            return await pipe.rows(verdicts)

    assert await told((0.5, 0, 1, 2)) == await told((0, 1, 2, 0.5))


async def test_where_only_an_hour_to_come_is_asked_about_there_is_nothing_to_glance_at(database_url: str) -> None:
    """The clock of an edge is fast: its stack is judged, not set aside."""
    async with a_pipe(database_url, RANGES) as pipe:
        await publish(pipe, 0, n=50)
        await publish(pipe, 1, n=1)
        async with transaction(pipe.pool) as conn:
            works = await site_by_code(conn, "works")
            assert works is not None
            (stack,), (stack_id,) = works.site.stacks, works.stack_ids.values()
            subject = Subject(site_id=works.site_id, stack_id=stack_id, site=works.site, stack=stack)
            now = micros(at(0.9))
            assert await glance(conn, subject, range(micros(at(0)), now + 1, HOUR), now=now) is not None
            assert await glance(conn, subject, range(micros(at(1)), now + 1, HOUR), now=now) is None


@pytest.mark.parametrize("value", [19.0, 21.0], ids=["and counts", "and does not count"])
async def test_another_value_that_comes_late_is_a_lead_whichever_counts(database_url: str, value: float) -> None:
    async with a_pipe(database_url) as pipe:
        for hour in (0, 1, 20):  # the last is of the next day in Shanghai
            await publish(pipe, hour)
        await pipe.tick(at(21.1))
        assert await pipe.rows(ALERTS, "conflicts") == []
        await publish(pipe, 0, so2=value)
        await pipe.tick(at(21.2))
        assert await pipe.rows(ALERTS, "conflicts") == [("resolved", at(0), at(1))]


async def test_the_mass_of_a_year_is_gone_on_from_and_summed_again_where_an_old_hour_changed(database_url: str) -> None:
    """Years of hours are not read for each new one."""
    kept = "SELECT until, grams FROM year_mass"
    summed = "SELECT sum(round(mass_kg * 1000))::bigint FROM hour_mean WHERE superseded_at IS NULL AND start < %s"
    limited = WORKS.replace("interval_s = 60", "interval_s = 60\n  permit_t_per_year = { so2 = 1.5 }")
    rows: dict[str, Any] = {"flow": 5e5, "temperature": 120.0, "moisture": 8.0}
    async with a_pipe(database_url, limited) as pipe:
        for day in (0, 40, 42):
            await publish(pipe, 24 * day, **rows)
            await pipe.tick(at(24 * day + 1.1))
        ((until, grams),) = await pipe.rows(kept)
        assert at(1) < until < at(24 * 40)
        assert [(grams,)] == await pipe.rows(summed, until)
        await publish(pipe, 24 * 44, **rows)
        await pipe.tick(at(24 * 44 + 1.1))
        assert await pipe.rows(kept) == [(until + timedelta(days=2), grams)]
        await publish(pipe, 0, **rows, so2=90.0, revision=1)
        await pipe.tick(at(24 * 44 + 1.2))
        await publish(pipe, 24 * 44 + 1, **rows)
        await pipe.tick(at(24 * 44 + 2.1))
        ((until, more),) = await pipe.rows(kept)
        assert at(1) < until < at(24 * 40)
        assert [(more,)] == await pipe.rows(summed, until)
        assert more > grams > 0
