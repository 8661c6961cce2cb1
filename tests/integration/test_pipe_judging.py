"""Committed rows to hours, months, alerts and cases, on a real database."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from builders import POWER, WORKS, a_frame, a_pipe, gas_turbine_nox, minutes

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

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
    counts = dict(alerts)
    assert (counts["hour_above_limit"], counts["month_below_share"]) == (sum(v > 50 for v in nox), 10)
    assert cases == [("deadline", ["GT1"], 10)]


NOON = datetime(2026, 11, 10, 4, tzinfo=UTC)

Row = dict[str, Any]
Messages = list[tuple[str, bytes]]


def three_days(rng: random.Random) -> list[Row]:
    """Minutes of a sinter head, some hours above the limit, some flagged, some missing."""
    rows = []
    for minute in range(3 * 1440):
        if rng.random() < 0.02:
            continue
        level = 44.0 if (minute // 60) % 5 == 0 else 25.0
        row: Row = {"stack": "DA001", "sampled_at": (NOON + timedelta(minutes=minute)).isoformat()}
        row |= {"so2": rng.gauss(level, 3), "nox": rng.gauss(40, 4), "pm": rng.gauss(6, 1), "o2": rng.gauss(16.3, 0.4)}
        if minute % 1440 < 50:
            row["flags"] = {"so2": "C"}
        rows.append(row)
    return rows


def in_frames(rows: list[Row], edge: str = "e1", size: int = 97) -> Messages:
    return [(edge, a_frame(rows[i : i + size], session="s", seq=i // size + 1)) for i in range(0, len(rows), size)]


def in_order(rows: list[Row], rng: random.Random) -> Messages:
    return in_frames(rows)


def shuffled(rows: list[Row], rng: random.Random) -> Messages:
    mixed = rng.sample(rows, len(rows))
    messages = in_frames(mixed)
    rng.shuffle(messages)
    return messages


def doubled(rows: list[Row], rng: random.Random) -> Messages:
    messages = in_frames(rows) + in_frames(rows, edge="e2", size=31)
    rng.shuffle(messages)
    return messages


def in_pieces_by_two_edges(rows: list[Row], rng: random.Random) -> Messages:
    """One edge sends the gases, another the rest: each fills in what the other left out."""
    gases = [{key: value for key, value in row.items() if key not in ("pm", "o2")} for row in rows]
    rest = [{key: value for key, value in row.items() if key not in ("so2", "nox", "flags")} for row in rows]
    messages = in_frames(gases) + in_frames(rest, edge="e2", size=61)
    rng.shuffle(messages)
    return messages


def in_pieces_by_two_instruments(rows: list[Row], rng: random.Random) -> Messages:
    """Every other hour was measured by the backup; an hour never mixes the two."""
    pieces = [
        row | {"instrument": "backup" if datetime.fromisoformat(row["sampled_at"]).hour % 2 else "main"} for row in rows
    ]
    messages = in_frames(pieces)
    rng.shuffle(messages)
    return messages


@pytest.mark.parametrize("way", [shuffled, doubled, in_pieces_by_two_edges, in_pieces_by_two_instruments])
async def test_the_same_rows_give_bit_equal_answers_however_they_come(
    postgres_url_factory: Callable[[], str], way: Callable[[list[Row], random.Random], Messages]
) -> None:
    rng = random.Random(20_26)
    rows = three_days(rng)
    first = await answers(postgres_url_factory(), in_order(rows, rng), rng)
    other = await answers(postgres_url_factory(), way(rows, rng), rng)
    assert len(first["verdicts"]) == 3 * 72
    assert {verdict for *_, verdict, _ in first["verdicts"]} == {"clear", "breached", "undecided"}
    assert other == first


async def answers(database_url: str, messages: Messages, rng: random.Random) -> dict[str, list[tuple[Any, ...]]]:
    """What stands in the end, without who sent it and how often it was revised."""
    async with a_pipe(database_url) as pipe:
        for number, (edge, payload) in enumerate(messages):
            await pipe.publish(payload, edge=edge)
            if rng.random() < 0.1:
                await pipe.tick(NOON + timedelta(minutes=number))
        await pipe.tick(LATER)
        queries = {
            "means": "SELECT start, pollutant, mean, o2, valid_minutes, claimed_minutes, rows_hash FROM hour_mean"
            " WHERE superseded_at IS NULL ORDER BY start, pollutant",
            "verdicts": "SELECT start, pollutant, corrected, corrected_from_minutes, claimed, verdict, reason"
            " FROM hour_verdict WHERE superseded_at IS NULL ORDER BY start, pollutant",
            "months": "SELECT month, pollutant, hours_valid, hours_above, share, share_worst, budget, verdict"
            " FROM month_verdict WHERE superseded_at IS NULL ORDER BY month, pollutant",
            "alerts": "SELECT alert_id, state, observed, ended_at, evidence - 'revision' - 'instrument' FROM alert"
            " WHERE state <> 'withdrawn' ORDER BY alert_id",
        }
        return {name: await pipe.rows(query) for name, query in queries.items()}


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
        alerts = await pipe.rows("SELECT state, observed, limit_value FROM alert WHERE rule = 'hour_above_limit'")
    assert before == [("undecided", "not_ended", False)]
    assert after == [("breached", "above", True)]
    assert alerts == [("firing", 40.0, 35.0)]


ABOVE = "SELECT state, ended_at FROM alert WHERE rule = 'hour_above_limit' ORDER BY period_start"


async def test_a_clear_hour_ends_the_alerts_before_it_and_missing_data_does_not(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        for start, so2 in (("08", 40.0), ("09", 41.0), ("12", 20.0)):
            await pipe.publish(a_frame(minutes(f"2026-11-10T{start}:00:00+08:00", 60, so2=so2, o2=16.0)))
            await pipe.tick(f"2026-11-10T{int(start) + 2:02}:00:00+08:00")
            if start == "09":
                states = await pipe.rows(ABOVE)
        ended = await pipe.rows(ABOVE)
        # A late clear hour moves the end; a late revision that unmakes the breach withdraws the alert.
        await pipe.publish(a_frame(minutes("2026-11-10T10:00:00+08:00", 60, so2=20.0, o2=16.0)))
        await pipe.publish(a_frame(minutes("2026-11-10T08:00:00+08:00", 60, so2=10.0, o2=16.0, revision=1)))
        await pipe.tick("2026-11-10T15:00:00+08:00")
        late = await pipe.rows(ABOVE)
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


async def test_rows_stamped_at_the_end_of_their_interval_belong_to_what_lies_before(database_url: str) -> None:
    register = WORKS.replace("interval_s = 60\n", 'interval_s = 60\nstamped = "end"\n')
    async with a_pipe(database_url, register) as pipe:
        await pipe.publish(a_frame(minutes("2026-11-10T08:01:00+08:00", 60, so2=40.0, o2=16.0)))
        await pipe.tick(LATER)
        hours = await pipe.rows("SELECT start, verdict FROM hour_verdict WHERE pollutant = 'so2'")
        rows = await pipe.rows(
            "SELECT jsonb_array_length(body) FROM alert JOIN alert_evidence USING (alert_id)"
            " WHERE rule = 'hour_above_limit'"
        )
    assert hours == [(datetime(2026, 11, 10, 0, tzinfo=UTC), "breached")]
    assert rows == [(60,)]
