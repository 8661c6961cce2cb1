"""Rows for the tests of the API, put in by SQL: builders with defaults, each in a transaction of its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from store.principals import create_token

PACK = "cn-steel-ule-2019"
T0 = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
"""08:00 at a works in China."""


class Rows:
    """Writes what ingestor and rule stage would."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self.conn = conn

    async def value(self, query: Any, parameters: Any = ()) -> Any:
        cursor = await self.conn.execute(query, parameters)
        row = await cursor.fetchone()
        return row[0] if row else None

    async def token(
        self, *roles: str, sites: Sequence[str] = (), regions: Sequence[str] = (), expires_at: datetime | None = None
    ) -> dict[str, str]:
        """The header of a new principal."""
        async with self.conn.transaction():
            token, _ = await create_token(
                self.conn,
                name=f"a {' and '.join(roles)}",
                roles=roles,
                sites=sites,
                regions=regions,
                expires_at=expires_at,
            )
        return {"Authorization": f"Bearer {token}"}

    async def region(self, code: str = "hebei", **document: Any) -> None:
        table = {
            "code": code,
            "name": code.title(),
            "deadline": [{"process": "*", "date": "2025-12-31"}],
            "instrument": [
                {"kind": "local_regulation", "number": "FICTIONAL 1", "covers": ["suspend"], "from": "2026-01-01"}
            ],
            **document,
        }
        await self.conn.execute("INSERT INTO region (code, document) VALUES (%s, %s)", [code, Jsonb(table)])

    async def site(
        self, code: str = "works", *, region: str = "hebei", simulated: bool = False, stacks: Sequence[str] = ("DA001",)
    ) -> int:
        """A site with unit S1 and stacks of a sinter head; the region too, where it is not there yet."""
        if await self.value("SELECT 1 FROM region WHERE code = %s", [region]) is None:
            await self.region(region)
        document = {
            "code": code,
            "name": f"{code} Steelworks",
            "region": region,
            "timezone": "Asia/Shanghai",
            "lon": 118.18,
            "lat": 39.63,
            "simulated": simulated,
        }
        site_id: int = await self.value(
            """INSERT INTO site (code, region_id, timezone, simulated, document)
            VALUES (%s, (SELECT region_id FROM region WHERE code = %s), 'Asia/Shanghai', %s, %s) RETURNING site_id""",
            [code, region, simulated, Jsonb(document)],
        )
        unit = {"code": "S1", "kind": "sinter_strand", "modes": ["stop"]}
        await self.conn.execute(
            "INSERT INTO unit (site_id, code, document) VALUES (%s, 'S1', %s)", [site_id, Jsonb(unit)]
        )
        for stack in stacks:
            table = {
                "code": stack,
                "name": f"Sinter machine {stack}",
                "process": "sinter_head",
                "units": ["S1"],
                "packs": [PACK],
                "interval_s": 60,
            }
            await self.conn.execute(
                "INSERT INTO stack (site_id, code, interval_s, document) VALUES (%s, %s, 60, %s)",
                [site_id, stack, Jsonb(table)],
            )
        return site_id

    async def stack_id(self, site: str = "works", stack: str = "DA001") -> int:
        found: int = await self.value(
            "SELECT stack_id FROM stack k JOIN site s USING (site_id) WHERE s.code = %s AND k.code = %s", [site, stack]
        )
        return found

    async def tick(self, at: datetime) -> None:
        await self.conn.execute("INSERT INTO tick (at, leader) VALUES (%s, 'stage-1')", [at])

    async def measurement(
        self, at: datetime, *, instrument: str = "main", so2: float | None = 30.1, **more: Any
    ) -> None:
        await self.conn.execute(
            """INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, flags, revision,
                received_at,                batch_id, so2, extra) VALUES (%s, %s, %s, 60, 'N', %s, 0, %s, 1, %s, %s)""",
            [
                await self.stack_id(),
                instrument,
                at,
                more.get("flags"),
                at + timedelta(seconds=70),
                so2,
                more.get("extra"),
            ],
        )

    async def hour(
        self,
        start: datetime,
        *,
        pollutant: str = "so2",
        corrected: float | None = 30.1,
        verdict: str = "clear",
        revision: int = 1,
        final: bool = True,
        computed_at: datetime | None = None,
        superseded_at: datetime | None = None,
        site: str = "works",
        valid_minutes: int = 60,
    ) -> None:
        stack_id = await self.stack_id(site)
        computed_at = computed_at or start + timedelta(hours=1, minutes=3)
        await self.conn.execute(
            """INSERT INTO hour_mean (stack_id, pollutant, start, averaging, revision, instrument, rows, valid,
                valid_minutes, not_running_minutes, over_range_minutes, claimed_minutes, mean, o2, rows_hash, final,
                computed_at, superseded_at)
            VALUES (%s, %s, %s, 'a', %s, 'main', 60, true, %s, 0, 0, 0, %s, 16.0, '', %s, %s, %s)""",
            [stack_id, pollutant, start, revision, valid_minutes, corrected, final, computed_at, superseded_at],
        )
        await self.conn.execute(
            """INSERT INTO hour_verdict (stack_id, pollutant, start, pack, pack_version, revision, averaging,
                mean_revision, month, corrected, corrected_from_minutes, method_sensitive, limit_value, verdict, reason,
                claimed, final, computed_at, superseded_at)
            VALUES (%s, %s, %s, %s, '1', %s, 'a', %s, '2026-11-01', %s, %s, false, 35, %s, 'within', false, %s, %s,
                %s)""",
            [
                stack_id, pollutant, start, PACK, revision, revision, corrected, corrected, verdict, final, computed_at,
                superseded_at,
            ],
        )  # fmt: skip

    async def month(
        self,
        *,
        pollutant: str = "so2",
        verdict: str = "running",
        within: int = 95,
        above: int = 5,
        final: bool = False,
        computed_at: datetime = T0,
        superseded_at: datetime | None = None,
        revision: int = 1,
        site: str = "works",
    ) -> None:
        await self.conn.execute(
            """INSERT INTO month_verdict (stack_id, pollutant, month, pack, pack_version, revision, hours_valid,
                hours_within, hours_above, hours_undecided, hours_excluded, hours_to_come, share, share_worst, required,
                budget, budget_now, budget_left, verdict, final, as_of, computed_at, superseded_at)
            VALUES (%s, %s, '2026-11-01', %s, '1', %s, %s, %s, %s, 2, '{"not_running": 3}', 100, %s, %s, 0.95, 10,
                5, %s, %s, %s, %s, %s, %s)""",
            [
                await self.stack_id(site), pollutant, PACK, revision, within + above, within, above,
                within / (within + above), within / (within + above), 10 - above, verdict, final,
                computed_at, computed_at,                superseded_at,
            ],
        )  # fmt: skip

    async def alert(
        self,
        alert_id: str = "hour-1",
        *,
        site: str = "works",
        start: datetime = T0,
        state: str = "firing",
        severity: str = "major",
        rule: str = "hour_above_limit",
        number: int | None = None,
    ) -> None:
        """An alert with its opening event, numbered where *number* is given."""
        await self.conn.execute(
            """INSERT INTO alert (alert_id, rule, severity, state, site_id, stack_id, pollutant, pack, period_start,
                period_end, started_at, ended_at, observed, limit_value, unit, clause, evidence)
            SELECT %s, %s, %s, %s, site_id, stack_id, 'so2', %s, %s, %s, %s, %s, 61.25, 35, 'mg/m3', 'Annex 2',
                '{"revision": 1}'
            FROM stack WHERE stack_id = %s""",
            [
                alert_id, rule, severity, state, PACK, start, start + timedelta(hours=1), start,
                start + timedelta(hours=2) if state == "resolved" else None, await self.stack_id(site),
            ],
        )  # fmt: skip
        await self.event(alert_id, "opened", number=number)

    async def event(self, alert_id: str, event: str, *, number: int | None = None) -> None:
        """An event; with a number, the feed is told of it as the stage's sequencer would."""
        await self.conn.execute(
            """INSERT INTO alert_event (alert_id, event, document, feed_number)
            SELECT alert_id, %s, document, %s FROM alert_document WHERE alert_id = %s""",
            [event, number, alert_id],
        )
        if number is not None:
            await self.conn.execute("SELECT pg_notify('feed', '')")

    async def frame(
        self,
        seq: int | None,
        hour: datetime,
        *,
        rows: int = 10,
        rows_before: int = 0,
        dropped_before: int = 0,
        low: int = 1,
        deliveries: int = 1,
        session: str | None = "b1946ac9",
        site: str = "works",
        edge: str = "gate-1",
        fates: dict[str, int] | None = None,
    ) -> None:
        """A committed frame with its books, and the session's `low`."""
        site_id = await self.value("SELECT site_id FROM site WHERE code = %s", [site])
        session = session if seq is not None else None
        batch_id = await self.value(
            """INSERT INTO batch (site_id, edge, session, seq, digest, low, rows_before, dropped_before, received_at,
                ingestor, rows, deliveries)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'ingestor-1', %s, %s) RETURNING batch_id""",
            [
                site_id, edge, session, seq, hashlib.sha256(f"{session}{seq}{hour}".encode()).digest(), low,
                rows_before,                dropped_before, hour, rows, deliveries,
            ],
        )  # fmt: skip
        told = {"stored": 0, "duplicate": 0, "conflict": 0, "quarantined": 0, **(fates or {"stored": rows})}
        await self.conn.execute(
            """INSERT INTO batch_hour (batch_id, hour, stored, duplicate, conflict, quarantined)
            VALUES (%s, %s, %s, %s, %s, %s)""",
            [batch_id, hour, told["stored"], told["duplicate"], told["conflict"], told["quarantined"]],
        )
        if session is not None:
            await self.conn.execute(
                """INSERT INTO edge_session (site_id, edge, session, low) VALUES (%s, %s, %s, %s)
                ON CONFLICT (site_id, edge, session) DO UPDATE SET low = greatest(edge_session.low, excluded.low)""",
                [site_id, edge, session, low],
            )

    async def redelivered(self, edge: str, seq: int) -> None:
        """A frame comes again."""
        await self.conn.execute(
            "UPDATE batch SET deliveries = deliveries + 1 WHERE edge = %s AND seq = %s AND session IS NOT NULL",
            [edge, seq],
        )

    async def touched(self, edge: str) -> None:
        """Its frames say once more what the edge holds."""
        await self.conn.execute("UPDATE batch SET low = coalesce(low, 0) + 1 WHERE edge = %s", [edge])

    async def quarantined(
        self, payload: bytes, *, site: str | None = "works", seq: int | None = None, edge: str | None = "gate-1"
    ) -> int:
        quarantine_id: int = await self.value(
            """INSERT INTO quarantine (topic, site_id, edge, session, seq, digest, payload, reason, received_at)
            VALUES (%s, (SELECT site_id FROM site WHERE code = %s), %s, %s, %s, %s, %s, 'is no JSON', now())
            RETURNING quarantine_id""",
            [
                f"ule/v1/{site}/{edge}/data", site, edge, "b1946ac9" if seq else None, seq,
                hashlib.sha256(payload).digest(), payload,
            ],
        )  # fmt: skip
        return quarantine_id

    async def beat(self, component: str, *, ok: bool = True, age_s: float = 1.0, **detail: Any) -> None:
        await self.conn.execute(
            """INSERT INTO heartbeat (component, instance, beat_at, ok, detail) VALUES (%s, %s, now() - %s, %s, %s)
            ON CONFLICT (component, instance) DO UPDATE
                SET beat_at = excluded.beat_at, ok = excluded.ok, detail = excluded.detail""",
            [component, f"{component}-1", timedelta(seconds=age_s), ok, Jsonb(detail)],
        )


@asynccontextmanager
async def rows_in(database_url: str) -> AsyncIterator[Rows]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        yield Rows(conn)
