"""`GET /metrics`: what to watch, in the text format of Prometheus.

Open to all as far as it names no site. The books, which do, are there for who gives a token, as far as its scope goes.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from alerts.suppression import Reason
from api.auth import Asking
from api.context import Here
from api.exposition import metric
from store import suppressed
from store.alerts import SEVERITIES
from store.edge_figures import ingest_lag_s
from store.health import beats, figures, open_alerts
from store.pool import transaction

router = APIRouter(tags=["health"])

MEDIA_TYPE: Final = "text/plain; version=0.0.4"


@router.get("/metrics", response_class=PlainTextResponse)
async def read_metrics(here: Here, access: Asking) -> PlainTextResponse:
    async with transaction(here.pool) as conn:
        counts = await figures(conn)
        alerts = await open_alerts(conn)
        quiet = await suppressed.counts(conn)
        seen = await beats(conn)
        lag_s = await ingest_lag_s(conn)
        books = await here.book_metrics.read(conn, access.scope) if access.principal is not None else ""
    by_instance = [({"component": beat.component, "instance": beat.instance}, beat) for beat in seen]
    text = "".join(
        [
            metric("batch_rows_total", "counter", "Rows in committed messages", [({}, counts["rows"])]),
            metric(
                "open_alerts",
                "gauge",
                "Alerts firing or acknowledged",
                [({"severity": severity}, alerts.get(severity, 0)) for severity in SEVERITIES],
            ),
            metric(
                "suppressed_alerts",
                "gauge",
                "Open alerts that are quiet; one with two reasons is counted under both",
                [({"reason": reason.value}, quiet.get(reason.value, 0)) for reason in Reason],
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
            metric(
                "ingest_lag_seconds",
                "gauge",
                "The longest that one of the newest messages took from arrival to commit",
                [({}, lag_s)],
            ),
            metric(
                "ingestor_inbox_messages",
                "gauge",
                "Messages that an ingestor holds and has not committed",
                [
                    (labels, beat.detail["inbox"])
                    for labels, beat in by_instance
                    if beat.component == "ingestor" and "inbox" in beat.detail
                ],
            ),
            metric("feed_readers", "gauge", "Readers of the live feed here", [({}, here.feed.readers)]),
            metric("feed_cut_off_total", "counter", "Readers that did not keep up", [({}, here.feed.cut_off)]),
            metric("feed_number", "gauge", "Number of the last event given to readers", [({}, here.feed.position)]),
            books,
        ]
    )
    return PlainTextResponse(text, media_type=MEDIA_TYPE)
