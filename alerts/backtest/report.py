"""A judgement of history, and what another one changes, as plain data and as Parquet files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from alerts.backtest.difference import ChangedMonth, Difference, Moved
from alerts.backtest.results import JudgedAlert, MonthKey, Result
from plant.months import Month
from plant.periods import instant

_TIME: Final = pa.timestamp("us", "UTC")
_HOURS: Final = pa.schema(
    [(name, pa.string()) for name in ("site", "stack", "pack", "pollutant")]
    + [("start", _TIME), ("verdict", pa.string()), ("reason", pa.string())]
    + [("corrected", pa.float64()), ("limit", pa.float64())]
)
_MONTHS: Final = pa.schema(
    [(name, pa.string()) for name in ("site", "stack", "pack", "pollutant", "month")]
    + [(f"hours_{name}", pa.int64()) for name in ("valid", "within", "above", "undecided")]
    + [("hours_excluded", pa.string())]
    + [(name, pa.float64()) for name in ("share", "share_worst", "required")]
    + [(name, pa.int64()) for name in ("budget", "budget_now", "budget_left")]
    + [("verdict", pa.string()), ("final", pa.bool_())]
)
_ALERTS: Final = pa.schema(
    [(name, pa.string()) for name in ("id", "rule", "severity", "state", "site", "stack", "pollutant", "pack")]
    + [(name, pa.string()) for name in ("period_start", "period_end", "ended_at")]
    + [("observed", pa.float64()), ("limit", pa.float64())]
    + [(name, pa.string()) for name in ("unit", "clause", "evidence")]
)


def text(at_us: int | None) -> str | None:
    """An instant as the contract writes it."""
    return None if at_us is None else instant(at_us).isoformat().replace("+00:00", "Z")


def alert_document(alert: JudgedAlert) -> dict[str, Any]:
    """An alert with the field names of the contract."""
    return {
        "id": alert.alert_id,
        "rule": alert.rule,
        "severity": alert.severity,
        "state": alert.state,
        "site": alert.site,
        "stack": alert.stack,
        "pollutant": alert.pollutant,
        "pack": alert.pack,
        "period_start": text(alert.period_start),
        "period_end": text(alert.period_end),
        "ended_at": text(alert.ended_at),
        "observed": alert.observed,
        "limit": alert.limit,
        "unit": alert.unit,
        "clause": alert.clause,
        "evidence": dict(alert.evidence),
    }


def month_document(key: MonthKey, month: Month, local: str) -> dict[str, Any]:
    """A month as `GET .../compliance` gives it, with its series; *local* is YYYY-MM."""
    return {**key.series._asdict(), "month": local, **month.figures()}


def difference_document(found: Difference) -> dict[str, Any]:
    return {
        "gained": [alert_document(alert) for alert in found.gained],
        "lost": [alert_document(alert) for alert in found.lost],
        "moved": [_moved(item) for item in found.moved],
        "months": [_changed(item) for item in found.months],
    }


def _moved(item: Moved) -> dict[str, Any]:
    return {"what": list(item.what), "before": alert_document(item.before), "after": alert_document(item.after)}


def _changed(item: ChangedMonth) -> dict[str, Any]:
    return {
        **item.series._asdict(),
        "month": item.month,
        "hours": [{"before": old, "after": new, "n": n} for (old, new), n in sorted(item.hours.items(), key=str)],
        "before": item.before,
        "after": item.after,
        "share_before": item.share_before,
        "share_after": item.share_after,
    }


def by_rule(alerts: Iterable[JudgedAlert]) -> dict[str, int]:
    return dict(sorted(Counter(alert.rule for alert in alerts).items()))


def write_parquet(result: Result, months: Sequence[dict[str, Any]], folder: Path) -> None:
    """`hours.parquet`, `months.parquet` and `alerts.parquet` into *folder*, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(folder / "hours.parquet", _HOURS, compression="zstd") as writer:
        for key, hours in sorted(result.hours.items()):
            n = hours.start.size
            same = {name: pa.array([value] * n, pa.string()) for name, value in key._asdict().items()}
            verdicts = {name: pa.array([str(v) for v in getattr(hours, name)]) for name in ("verdict", "reason")}
            figures = {name: pa.array(getattr(hours, name)) for name in ("corrected", "limit")}
            columns = {**same, "start": pa.array(hours.start).cast(_TIME), **verdicts, **figures}
            writer.write_table(pa.table(columns, schema=_HOURS))
    told = [{**month, "hours_excluded": _json(month["hours_excluded"])} for month in months]
    _write(folder / "months.parquet", told, _MONTHS)
    alerts = [alert_document(alert) for alert in result.alerts.values()]
    _write(folder / "alerts.parquet", [{**alert, "evidence": _json(alert["evidence"])} for alert in alerts], _ALERTS)


def _write(file: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
