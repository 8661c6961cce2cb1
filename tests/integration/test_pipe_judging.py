"""Committed rows to hours, months, alerts and cases, on a real database."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from builders import POWER, a_frame, a_pipe, gas_turbine_nox, minutes

pytestmark = pytest.mark.anyio

JANUARY = datetime(2025, 1, 1, tzinfo=UTC) - timedelta(hours=8)
LATER = "2026-11-20T00:00:00Z"


def turbine_frames(nox: list[float], size: int = 200) -> list[bytes]:
    rows = [
        {"stack": "GT", "sampled_at": (JANUARY + timedelta(hours=i)).isoformat(), "nox": value}
        for i, value in enumerate(nox)
    ]
    return [
        a_frame(rows[i : i + size], session="s1", seq=i // size + 1, rows_before=i) for i in range(0, len(rows), size)
    ]


async def test_the_gas_turbine_year_gives_the_shares_of_a_plain_count(database_url: str) -> None:
    nox = gas_turbine_nox()
    async with a_pipe(database_url, POWER) as pipe:
        await pipe.publish_all(turbine_frames(nox), site="power")
        await pipe.tick(LATER)
        months = await pipe.rows(
            "SELECT month, hours_valid, hours_within, hours_above, hours_undecided, share, verdict FROM month_verdict"
            " WHERE pollutant = 'nox' AND superseded_at IS NULL ORDER BY month"
        )
        hours = await pipe.rows(
            "SELECT start, verdict FROM hour_verdict WHERE pollutant = 'nox' AND superseded_at IS NULL ORDER BY start"
        )
        alerts = await pipe.rows("SELECT rule, count(*) FROM alert GROUP BY rule ORDER BY rule")
        cases = await pipe.rows('SELECT track, units, (SELECT count(*) FROM case_alert) FROM "case"')

    # The same from the file, in a few lines.
    local = [JANUARY + timedelta(hours=i + 8) for i in range(len(nox))]
    expected = []
    for month in range(1, 12):
        values = [value for at, value in zip(local, nox, strict=True) if at.month == month]
        within = sum(value <= 50 for value in values)
        length = (datetime(2025, month + 1, 1) - datetime(2025, month, 1)).days * 24  # noqa: DTZ001
        enough = Fraction(len(values), length) >= Fraction(3, 4)
        breached = Fraction(within, len(values)) < Fraction(95, 100)
        verdict = ("breached" if breached else "clear") if enough else "undecided"
        expected.append(
            (month, len(values), within, len(values) - within, length - len(values), within / len(values), verdict)
        )
    assert [(m[0].month, *m[1:]) for m in months] == expected
    assert [(start, verdict) for start, verdict in hours] == [
        (JANUARY + timedelta(hours=i), "breached" if value > 50 else "clear") for i, value in enumerate(nox)
    ]
    assert dict(alerts) == {"hour_above_limit": sum(v > 50 for v in nox), "month_below_share": 10}
    assert cases == [("deadline", ["GT1"], 10)]


async def test_shuffled_doubled_and_split_between_edges_the_same_rows_give_the_same_answers(
    postgres_url_factory: object,
) -> None:
    assert callable(postgres_url_factory)
    nox = gas_turbine_nox()[:1500]
    rng = random.Random(20_11)
    answers = []
    for way in ("in order", "shuffled", "doubled"):
        frames = turbine_frames(nox, size=50)
        if way == "shuffled":
            rng.shuffle(frames)
        if way == "doubled":
            frames = [frame for frame in frames for _ in range(2)]
            rng.shuffle(frames)
        async with a_pipe(postgres_url_factory(), POWER) as pipe:
            for start in range(0, len(frames), 7):
                await pipe.publish_all(frames[start : start + 7], site="power")
                if start % 3 == 0:
                    await pipe.tick(LATER)
            await pipe.tick(LATER)
            answers.append(
                [
                    await pipe.rows(
                        "SELECT start, mean, o2, valid_minutes, rows_hash, final FROM hour_mean"
                        " WHERE superseded_at IS NULL ORDER BY start, pollutant"
                    ),
                    await pipe.rows(
                        "SELECT start, pollutant, corrected, verdict, reason FROM hour_verdict"
                        " WHERE superseded_at IS NULL ORDER BY start, pollutant"
                    ),
                    await pipe.rows(
                        "SELECT month, hours_valid, hours_above, share, budget, verdict FROM month_verdict"
                        " WHERE superseded_at IS NULL ORDER BY month, pollutant"
                    ),
                    await pipe.rows(
                        "SELECT alert_id, state, observed, ended_at, evidence - 'revision' FROM alert"
                        " WHERE state <> 'withdrawn' ORDER BY alert_id"
                    ),
                ]
            )
    assert answers[0][0]
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


@pytest.mark.parametrize(
    ("n", "values", "verdict", "reason"),
    [
        pytest.param(44, {"so2": 30.0, "o2": 16.0}, "undecided", "too_few_minutes", id="44_minutes"),
        pytest.param(45, {"so2": 30.0, "o2": 16.0}, "clear", "within", id="45_minutes"),
        pytest.param(60, {"so2": 30.0, "o2": 20.9}, "undecided", "oxygen_at_ambient", id="oxygen_of_air"),
        pytest.param(60, {"so2": 35.0 + 1e-9, "o2": 16.0}, "clear", "within", id="above_by_float_noise"),
        pytest.param(60, {"so2": 35.001, "o2": 16.0}, "breached", "above", id="above"),
        pytest.param(
            60,
            {"so2": 10.0, "o2": 16.0, "flags": {"so2": "T"}},
            "breached",
            "above",
            id="over_range_whose_upper_end_is_above",
        ),
        pytest.param(60, {"so2": 30.0, "o2": 16.0, "state": "stopped"}, "excluded", "not_running", id="stopped"),
        pytest.param(60, {"so2": 30.0, "o2": 16.0, "flags": {"o2": "C"}}, "undecided", "too_few_minutes", id="o2_flag"),
    ],
)
async def test_an_hour_is_judged_by_what_its_rows_say(
    database_url: str, n: int, values: dict[str, Any], verdict: str, reason: str
) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes("2026-11-10T08:00:00+08:00", n, **values)))
        await pipe.tick(LATER)
        found = await pipe.rows("SELECT verdict, reason, final FROM hour_verdict WHERE pollutant = 'so2'")
    assert found == [(verdict, reason, True)]


async def test_an_hour_ends_with_a_tick_two_minutes_after_it(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        rows = minutes("2026-11-10T08:00:00+08:00", 60, so2=40.0, o2=16.0)
        await pipe.publish(a_frame(rows))
        await pipe.tick("2026-11-10T09:01:59+08:00")
        before = await pipe.rows("SELECT verdict, reason, final FROM hour_verdict WHERE pollutant = 'so2'")
        await pipe.tick("2026-11-10T09:02:00+08:00")
        after = await pipe.rows("SELECT verdict, reason, final FROM hour_verdict WHERE pollutant = 'so2'")
        alerts = await pipe.rows("SELECT rule, state, observed, limit_value FROM alert WHERE pollutant = 'so2'")
    assert before == [("undecided", "not_ended", False)]
    assert after == [("breached", "above", True)]
    assert alerts == [("hour_above_limit", "firing", 40.0, 35.0)]


async def test_a_clear_hour_ends_the_alerts_before_it_and_missing_data_does_not(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        for start, so2 in (("08", 40.0), ("09", 41.0), ("12", 20.0)):
            await pipe.publish(a_frame(minutes(f"2026-11-10T{start}:00:00+08:00", 60, so2=so2, o2=16.0)))
            await pipe.tick(f"2026-11-10T{int(start) + 2:02}:00:00+08:00")
            if start == "09":
                states = await pipe.rows("SELECT state, ended_at FROM alert")
        ended = await pipe.rows("SELECT state, ended_at FROM alert ORDER BY period_start")
        # A late clear hour moves the end; a late revision that unmakes the breach withdraws the alert.
        await pipe.publish(a_frame(minutes("2026-11-10T10:00:00+08:00", 60, so2=20.0, o2=16.0)))
        await pipe.publish(a_frame(minutes("2026-11-10T08:00:00+08:00", 60, so2=10.0, o2=16.0, revision=1)))
        await pipe.tick("2026-11-10T15:00:00+08:00")
        late = await pipe.rows("SELECT state, ended_at FROM alert ORDER BY period_start")
        events = await pipe.rows("SELECT event, feed_number FROM alert_event ORDER BY feed_number")
        revisions = await pipe.rows(
            "SELECT revision, verdict, superseded_at IS NULL FROM hour_verdict"
            " WHERE pollutant = 'so2' AND start = '2026-11-10T08:00:00+08' ORDER BY revision"
        )
    noon = datetime(2026, 11, 10, 4, tzinfo=UTC)
    assert states == [("firing", None), ("firing", None)]
    assert ended == [("resolved", noon), ("resolved", noon)]
    assert late == [("withdrawn", None), ("resolved", noon - timedelta(hours=2))]
    assert [number for _, number in events] == list(range(1, len(events) + 1))
    assert revisions == [(1, "breached", False), (2, "clear", True)]
