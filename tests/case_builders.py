"""Builders for tests of cases: a registered works, its alerts and its judged hours, by plain SQL."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from plant.packs import outlets_by_pack, pack
from plant.register import read_register
from store.pool import Connection
from store.register import import_register

PACK = "cn-steel-ule-2019"
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # a Friday
ALL_AGENCY = ("investigator", "reviewer", "decider")

REGION = """
[[region]]
code = "hebei"
name = "Hebei"
lift_after_clean_hours = 3
  [[region.deadline]]
  process = "*"
  date = 2025-12-31
"""
LAW = """
  [[region.instrument]]
  kind = "local_regulation"
  number = "Fictional No. 1"
  issuer = "Hebei"
  article = "5"
  covers = ["suspend"]
  from = 2026-01-01
"""
SITE = """
[[site]]
code = "works"
name = "Works"
region = "hebei"
timezone = "Asia/Shanghai"
  [[site.unit]]
  code = "S1"
  kind = "sinter_strand"
  modes = ["stop", "max_load"]
  [[site.unit]]
  code = "K1"
  kind = "coke_battery"
  modes = ["hot_idle"]
  [[site.stack]]
  code = "DA001"
  name = "Head"
  process = "sinter_head"
  units = ["S1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
  [[site.stack]]
  code = "DA002"
  name = "Coke"
  process = "coke_chimney"
  units = ["K1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
"""


async def a_works(conn: Connection, *, region: str = REGION + LAW, site: str = SITE) -> None:
    """Import the register; again with another text, it is an edit of it."""
    tables = tomllib.loads(region + site, parse_float=Decimal)
    read_register(tables, "test", packs=outlets_by_pack())
    await import_register(conn, tables, by="test")


async def an_alert(
    conn: Connection,
    alert_id: str = "alert-1",
    *,
    stack: str | None = "DA001",
    site: str = "works",
    rule: str = "month_below_share",
    pollutant: str = "so2",
    pack_name: str | None = PACK,
    month: datetime = datetime(2026, 9, 30, 16, 0, tzinfo=UTC),  # October in Shanghai
    state: str = "firing",
) -> str:
    await conn.execute(
        """
        INSERT INTO alert (alert_id, rule, severity, state, site_id, stack_id, pollutant, pack, period_start,
                           period_end, started_at, observed, limit_value, unit, clause, evidence)
        SELECT %(id)s, %(rule)s, 'critical', %(state)s, s.site_id, k.stack_id, %(pollutant)s, %(pack)s, %(month)s,
               %(end)s, %(month)s, 0.91, 0.95, 'share', 'each month at least 95 %%', %(evidence)s
        FROM site s LEFT JOIN stack k ON k.site_id = s.site_id AND k.code = %(stack)s WHERE s.code = %(site)s
        """,
        {
            "id": alert_id,
            "rule": rule,
            "state": state,
            "pollutant": pollutant,
            "pack": pack_name,
            "month": month,
            "end": month + timedelta(days=31),
            "stack": stack,
            "site": site,
            "evidence": json.dumps({"hours_above": 60, "hours_valid": 744, "revision": 0}),
        },
    )
    return alert_id


async def hours(
    conn: Connection,
    letters: str,
    *,
    start: datetime,
    stack: str = "DA001",
    pollutants: Iterable[str] = ("pm", "so2", "nox"),
    final: bool = True,
) -> None:
    """One judged hour a letter from *start*: c clear, B breached, u undecided, x excluded."""
    rules = pack(PACK)
    limits = {"DA001": "sinter_head", "DA002": "coke_chimney"}
    verdicts = {"c": "clear", "B": "breached", "u": "undecided", "x": "excluded"}
    for pollutant in pollutants:
        limit = rules.outlet(limits[stack]).limits[pollutant].mg_m3
        for n, letter in enumerate(letters):
            corrected = {"c": limit / 2, "B": limit * 2}.get(letter)
            await conn.execute(
                """
                INSERT INTO hour_verdict (stack_id, pollutant, start, pack, pack_version, revision, averaging,
                    mean_revision, month, corrected, method_sensitive, limit_value, verdict, reason, claimed, final)
                SELECT stack_id, %s, %s, %s, %s, 0, 'minute', 0, %s, %s, false, %s, %s, 'test', false, %s
                FROM stack WHERE code = %s
                """,
                [
                    pollutant,
                    start + timedelta(hours=n),
                    PACK,
                    rules.version,
                    start.date().replace(day=1),
                    corrected,
                    limit,
                    verdicts[letter],
                    final,
                    stack,
                ],
            )


async def everything(conn: Connection, query: Any, *values: Any) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(query, values)
    return list(await cursor.fetchall())


async def one(conn: Connection, query: Any, *values: Any) -> Any:
    rows = await everything(conn, query, *values)
    assert len(rows) == 1, rows
    return rows[0][0] if len(rows[0]) == 1 else rows[0]
