"""Alerts as everybody sees them: documents with defaults, as the view `alert_document` makes them."""

from __future__ import annotations

from typing import Any


def alert_document(alert_id: str = "al-1", **fields: Any) -> dict[str, Any]:
    """An hour above the limit of a sinter head at 08:00 of a works in China, firing."""
    known: dict[str, Any] = {
        "id": alert_id,
        "rule": "hour_above_limit",
        "severity": "major",
        "state": "firing",
        "region": "hebei",
        "site": "works",
        "stack": "DA001",
        "pollutant": "so2",
        "pack": "cn-steel-ule-2019",
        "period_start": "2026-11-20T00:00:00Z",
        "period_end": "2026-11-20T01:00:00Z",
        "started_at": "2026-11-20T00:00:00Z",
        "ended_at": None,
        "opened_at": "2026-11-20T01:02:10Z",
        "observed": 61.25,
        "limit": 35.0,
        "unit": "mg/m3",
        "clause": "HuanDaqi [2019] 35, annex 2",
        "evidence": {},
        "acknowledged_by": None,
        "acknowledged_at": None,
        "acknowledged_note": None,
        "suppressed_by": None,
        "plant_silence": None,
    }
    assert set(fields) <= set(known)
    return {**known, **fields}
