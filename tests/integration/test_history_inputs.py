"""What a history holds beside its rows, read back from a real database, and what makes an hour looked at again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest

from builders import WORKS, Pipe, a_frame, a_pipe, minutes, put_register
from plant.periods import micros
from store.history_inputs import Inputs, Wanted, history_inputs
from store.instrument_records import NewRecord, file_record
from store.pool import transaction
from store.register import site_by_code

pytestmark = pytest.mark.anyio

FIRST: Final = datetime(2026, 11, 10, tzinfo=UTC)
N: Final = 48


def at(hours: float) -> datetime:
    return FIRST + timedelta(hours=hours)


async def inputs(pipe: Pipe, *, signals: tuple[str, ...] = ("load_pct", "power_production_kw")) -> Inputs:
    async with transaction(pipe.pool) as conn:
        registered = await site_by_code(conn, "works")
        assert registered is not None
        wanted = Wanted(
            site_id=registered.site_id,
            stack_id=registered.stack_ids["DA001"],
            site="works",
            stack="DA001",
            units=("S1",),
            first=micros(FIRST),
            n_hours=N,
            values_from=micros(FIRST),
            day_from=micros(FIRST),
        )
        return await history_inputs(conn, wanted, signals=signals)


async def put_order(pipe: Pipe, order_id: str, *, unit: str = "S1", start: float = 2, **times: datetime | None) -> None:
    async with transaction(pipe.pool) as conn:
        await conn.execute(
            """INSERT INTO "case" (case_id, site_id, units, track, state, pinned)
               SELECT %s, site_id, '{S1}', 'ule', 'suspended', '{}' FROM site""",
            [f"case-{order_id}"],
        )
        await conn.execute(
            """INSERT INTO plant_order (order_id, case_id, site_id, kind, units, effective_from, safe_state_by, until,
                                        ended_at, basis, text)
               SELECT %s, %s, site_id, 'suspend', %s, %s, %s, %s, %s, '', '' FROM site""",
            [
                order_id,
                f"case-{order_id}",
                json.dumps([{"unit": unit, "mode": "stop", "value": None}]),
                at(start),
                at(start + 1),
                times.get("until"),
                times.get("ended_at"),
            ],
        )
        await conn.execute('UPDATE "case" SET closed_at = now()')


async def test_a_stack_of_which_nothing_is_said_has_none_of_it(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        found = await inputs(pipe)
        assert (found.orders, found.changes, found.records) == ([], [], {})
        assert (found.conflicts, found.reported, found.signals) == ({}, {}, {})


async def test_orders_about_its_units_that_touch_the_time(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await put_order(pipe, "open")
        await put_order(pipe, "ended", start=3, until=at(30), ended_at=at(20))
        await put_order(pipe, "over", start=-50, until=at(-1))
        await put_order(pipe, "other", unit="H1")
        await put_order(pipe, "to-come", start=N)
        orders = (await inputs(pipe)).orders
        assert [order.detail["order_id"] for order in orders] == ["open", "ended"]
        assert [(order.start, order.end) for order in orders] == [
            (micros(at(2)), None),
            (micros(at(3)), micros(at(20))),
        ]
        assert orders[0].detail["safe_state_by"] == micros(at(3))
        assert orders[0].detail["units"] == [{"unit": "S1", "mode": "stop", "value": None}]


async def test_signals_by_the_hour_of_the_units_and_the_stack(database_url: str) -> None:
    def row(hours: float, value: float | None, **about: Any) -> dict[str, Any]:
        return {"sampled_at": at(hours).isoformat(), "signal": "load_pct", "value": value, **about}

    async with a_pipe(database_url) as pipe:
        rows = [row(1.1, 80.0, unit="S1"), row(1.6, 60.0, unit="S1"), row(1.7, None, unit="S1"), row(5.0, 40.0)]
        rows += [row(1.2, 10.0, unit="S1") | {"flag": "D"}, row(2.0, 33.0, stack="DA001")]
        rows += [row(3.0, 1.0, unit="S1") | {"signal": "fan_current_a"}]
        await pipe.publish(a_frame(rows, kind="signal"))
        found = (await inputs(pipe)).signals
        assert set(found) == {(unit, "load_pct", figure) for unit in ("", "S1") for figure in ("mean", "low", "high")}
        assert [found["S1", "load_pct", figure][1] for figure in ("mean", "low", "high")] == [70.0, 60.0, 80.0]
        assert found["", "load_pct", "mean"][2] == 33.0
        assert int(np.isnan(found["S1", "load_pct", "mean"]).sum()) == N - 1


async def test_reported_hours_by_source_and_figure(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        row = {"stack": "DA001", "sampled_at": at(4).isoformat(), "interval_s": 3600, "channel": "so2", "avg": 21.5}
        rows = [row | {"corrected_avg": 30.0}, row | {"source": "platform"}]
        rows += [row | {"interval_s": 60, "sampled_at": at(5).isoformat()}]
        await pipe.publish(a_frame(rows, kind="reported_mean"))
        found = (await inputs(pipe)).reported
        assert set(found) == {("logger", "so2", "avg"), ("logger", "so2", "corrected_avg"), ("platform", "so2", "avg")}
        assert found["logger", "so2", "corrected_avg"][4] == 30.0
        assert int((~np.isnan(found["logger", "so2", "avg"])).sum()) == 1


async def test_conflicts_are_counted_by_channel_and_hour(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        for so2 in (20.0, 21.0):
            await pipe.publish(a_frame(minutes(at(6).isoformat(), 3, so2=so2), sent_at=1))
        found = (await inputs(pipe)).conflicts
        assert {channel: np.flatnonzero(n).tolist() for channel, n in found.items()} == {"so2": [6]}
        assert found["so2"][6] == 3


async def test_changes_of_the_register_and_of_what_a_logger_reports(database_url: str) -> None:
    def parameter(hours: float, value: float, code: str = "i13008") -> dict[str, Any]:
        signal = f"{code}-a21026"
        return {"sampled_at": at(hours).isoformat(), "signal": signal, "stack": "DA001", "value": value}

    async with a_pipe(database_url) as pipe:
        await put_register(pipe.pool, WORKS.replace("range = [0, 200]", "range = [0, 100]\n    slope = 0.9"))
        await put_register(pipe.pool, WORKS.replace('name = "Sinter head"', 'name = "Head"'))
        async with transaction(pipe.pool) as conn:
            await conn.execute("UPDATE register_version SET changed_at = %s + interval '1 h' * version", [at(5)])
        rows = [
            parameter(-3, 1.0),
            parameter(2, 1.0),
            parameter(3, 0.8),
            parameter(4, 0.8),
            parameter(6, 5.0, "i13007"),
        ]
        await pipe.publish(a_frame(rows, kind="signal"))
        changes = (await inputs(pipe)).changes
        assert [(change.kind, change.start, change.detail["parameter"]) for change in changes] == [
            ("reported", micros(at(3)), "slope"),
            ("register", micros(at(7)), "range"),
            ("register", micros(at(7)), "slope"),
            ("register", micros(at(8)), "range"),
            ("register", micros(at(8)), "slope"),
        ]
        assert (changes[0].detail["from"], changes[0].detail["to"]) == (1.0, 0.8)
        assert (changes[1].detail["from"], changes[1].detail["to"]) == ([0, 200], [0, 100])
        assert changes[2].detail["channel"] == "so2"
        assert changes[2].detail["from"] is None


async def test_a_parameter_is_compared_with_what_its_unit_said_last_however_long_ago(database_url: str) -> None:
    def parameter(hours: float, value: float | None, **about: Any) -> dict[str, Any]:
        said = {"sampled_at": at(hours).isoformat(), "signal": "i13008-a21026", "stack": "DA001", "value": value}
        return said | about

    async with a_pipe(database_url) as pipe:
        rows = [parameter(-24 * 40, 1.0), parameter(2, None), parameter(3, 0.8)]
        rows += [parameter(-1, 5.0, unit="S1"), parameter(4, 5.0, unit="S1")]
        await pipe.publish(a_frame(rows, kind="signal"))
        changes = (await inputs(pipe)).changes
    assert [(change.start, change.detail["from"], change.detail["to"]) for change in changes] == [
        (micros(at(3)), 1.0, 0.8)
    ]


async def test_records_by_kind_and_the_first_hour(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        async with transaction(pipe.pool) as conn:
            registered = await site_by_code(conn, "works")
            assert registered is not None
            for kind, hours in (
                ("comparison", -2000),
                ("calibration", 3),
                ("calibration", -10),
                ("calibration", N + 1),
            ):
                record = NewRecord(
                    site_id=registered.site_id,
                    stack_id=registered.stack_ids["DA001"],
                    instrument="main",
                    channels=["so2"],
                    kind=kind,
                    at=at(hours),
                    note="done",
                    figures={},
                )
                await file_record(conn, record, by="a maintainer")
        await pipe.publish(a_frame(minutes(at(0).isoformat(), 60, so2=20.0, o2=16.0)))
        await pipe.tick(at(2))
        assert (await inputs(pipe)).records == {
            "calibration": (micros(at(-10)), micros(at(3))),
            "comparison": (micros(at(-2000)),),
            "began": (micros(at(0)),),
        }


async def asked(pipe: Pipe) -> list[tuple[Any, ...]]:
    return await pipe.rows("SELECT reason, hour FROM rejudge ORDER BY hour, reason")


async def test_a_reported_hour_that_is_ours_asks_for_nothing_and_one_that_is_not_does(database_url: str) -> None:
    def mean(hours: float, avg: float, **more: Any) -> bytes:
        row = {"stack": "DA001", "sampled_at": at(hours).isoformat(), "interval_s": 3600, "channel": "so2", "avg": avg}
        return a_frame([row | more], kind="reported_mean")

    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(at(0).isoformat(), 180, so2=20.0, o2=16.0)))
        await pipe.tick(at(3.2))
        assert await asked(pipe) == []
        await pipe.publish(mean(0, 20.1))
        assert await asked(pipe) == []
        await pipe.publish(mean(1, 15.0))
        assert await asked(pipe) == [("reported", at(1))]
        await pipe.publish(mean(0, 20.0, revision=1))
        await pipe.publish(mean(-24, 20.0))
        assert await asked(pipe) == [("reported", at(-24)), ("reported", at(0)), ("reported", at(1))]


async def test_a_late_process_value_has_the_hour_of_its_stacks_looked_at_again(database_url: str) -> None:
    def value(hours: float, name: str = "load_pct", **about: Any) -> bytes:
        about = about or {"unit": "S1"}
        return a_frame([{"sampled_at": at(hours).isoformat(), "signal": name, "value": 1.0, **about}], kind="signal")

    async with a_pipe(database_url) as pipe:
        await pipe.publish(value(5.5), received_at=at(5.6))
        await pipe.publish(value(3.5, "fan_current_a"), received_at=at(5.6))
        assert await asked(pipe) == []
        await pipe.publish(value(4.5), received_at=at(5.6))
        await pipe.publish(value(2.5, "i13001-a21026", stack="DA001"), received_at=at(5.6))
        assert await asked(pipe) == [("signal", at(2)), ("signal", at(4))]


async def test_a_late_process_value_asks_for_its_hour_where_hours_begin_at_half_past(database_url: str) -> None:
    def value(hours: float) -> bytes:
        said = {"sampled_at": at(hours).isoformat(), "signal": "load_pct", "value": 1.0, "unit": "S1"}
        return a_frame([said], kind="signal")

    async with a_pipe(database_url, WORKS.replace("Asia/Shanghai", "Asia/Kolkata")) as pipe:
        await pipe.publish(value(5.75), received_at=at(6.51))  # of the hour that ends at half past six
        assert await asked(pipe) == []
        await pipe.publish(value(5.25), received_at=at(5.55))  # of the one that ended at half past five
        await pipe.publish(value(3.75), received_at=at(5.6))
        assert await asked(pipe) == [("signal", at(3.5)), ("signal", at(4.5))]


async def test_a_process_value_that_waited_for_the_database_until_its_hour_was_judged_is_late(
    database_url: str,
) -> None:
    said = {"sampled_at": at(0.9).isoformat(), "signal": "load_pct", "value": 1.0, "unit": "S1"}
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(at(0).isoformat(), 60, so2=20.0, o2=16.0)))
        await pipe.tick(at(1.1))
        await pipe.publish(a_frame([said], kind="signal"), received_at=at(0.91))
        assert await asked(pipe) == [("signal", at(0))]
