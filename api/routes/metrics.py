"""`GET /metrics`: what to watch, in the text format of Prometheus. Names no site: it is for operators, open to all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from api.context import Here
from store.alerts import SEVERITIES
from store.health import beats, figures, open_alerts
from store.pool import transaction

router = APIRouter(tags=["health"])

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
Sample = tuple[Mapping[str, str], float]


@router.get("/metrics", response_class=PlainTextResponse)
async def read_metrics(here: Here) -> PlainTextResponse:
    async with transaction(here.pool) as conn:
        rows = await here.row_count.read(conn)
        counts = await figures(conn)
        alerts = await open_alerts(conn)
        seen = await beats(conn)
    by_instance = [({"component": beat.component, "instance": beat.instance}, beat) for beat in seen]
    text = "".join(
        [
            metric("batch_rows_total", "counter", "Rows in committed messages", [({}, rows)]),
            metric(
                "open_alerts",
                "gauge",
                "Alerts firing or acknowledged",
                [({"severity": severity}, alerts.get(severity, 0)) for severity in SEVERITIES],
            ),
            metric("open_cases", "gauge", "Cases that have not ended", [({}, counts["open_cases"])]),
            metric("rejudge_queue", "gauge", "Hours waiting to be judged", [({}, counts["rejudge"])]),
            metric(
                "unnumbered_events", "gauge", "Alert events the feed has not numbered", [({}, counts["unnumbered"])]
            ),
            metric("outgoing_due", "gauge", "Messages owed and due", [({}, counts["outgoing_due"])]),
            metric("quarantine_held", "gauge", "Payloads in quarantine", [({}, counts["quarantine_held"])]),
            metric(
                "heartbeat_age_seconds",
                "gauge",
                "Time since a part last beat",
                [(labels, beat.age_s) for labels, beat in by_instance],
            ),
            metric(
                "heartbeat_ok",
                "gauge",
                "Whether a part can do its work",
                [(labels, int(beat.ok)) for labels, beat in by_instance],
            ),
            metric("feed_readers", "gauge", "Readers of the live feed here", [({}, here.feed.readers)]),
            metric("feed_cut_off_total", "counter", "Readers that did not keep up", [({}, here.feed.cut_off)]),
            metric("feed_number", "gauge", "Number of the last event given to readers", [({}, here.feed.position)]),
        ]
    )
    return PlainTextResponse(text, media_type=MEDIA_TYPE)


def metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> str:
    """One metric with its help and type lines."""
    full = f"stackwatch_{name}"
    lines = [f"# HELP {full} {about}.", f"# TYPE {full} {kind}"]
    lines += [f"{full}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
