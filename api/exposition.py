"""The text format of Prometheus, and the books in it, rendered once a tick however often they are scraped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from store.books import FATES
from store.clock import newest_tick
from store.edge_figures import EdgeFigures, SiteFigures, edge_figures, site_figures
from store.pool import Connection
from store.scope import Scope

Sample = tuple[Mapping[str, str], float]

_MOST_SCOPES: Final = 32  #: renderings kept at once


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


@dataclass(slots=True)
class BookMetrics:
    """The metrics of the books as of one tick, by what their readers may see."""

    _tick: datetime | None = None
    _edges: Sequence[EdgeFigures] = ()
    _sites: Sequence[SiteFigures] = ()
    _texts: dict[Scope, str] = field(default_factory=dict)

    async def read(self, conn: Connection, scope: Scope) -> str:
        tick = await newest_tick(conn)
        if tick is None or tick != self._tick:
            self._edges, self._sites = await edge_figures(conn), await site_figures(conn)
            self._tick, self._texts = tick, {}
        text = self._texts.get(scope)
        if text is None:
            text = _render(
                [item for item in self._edges if scope.holds(item.site, item.region)],
                [item for item in self._sites if scope.holds(item.site, item.region)],
            )
            if len(self._texts) < _MOST_SCOPES:
                self._texts[scope] = text
        return text


def _render(edges: Sequence[EdgeFigures], sites: Sequence[SiteFigures]) -> str:
    by_edge = [({"site": item.site, "edge": item.edge}, item) for item in edges]
    by_site = [({"site": item.site}, item) for item in sites]
    fates = [({**labels, "fate": fate}, getattr(item, fate)) for labels, item in by_edge for fate in FATES]
    return "".join(
        [
            metric("edge_rows", "gauge", "Rows that an edge published, by what became of them", fates),
            metric(
                "edge_rows_published",
                "gauge",
                "Rows that an edge published: the sum of their fates",
                [(labels, item.published) for labels, item in by_edge],
            ),
            metric(
                "edge_rows_redelivered",
                "gauge",
                "Rows that came again after they were committed, outside the sum",
                [(labels, item.redelivered) for labels, item in by_edge],
            ),
            metric(
                "edge_online",
                "gauge",
                "Whether an edge says that it is connected",
                [(labels, int(item.online)) for labels, item in by_edge if item.online is not None],
            ),
            metric(
                "edge_outbox_frames",
                "gauge",
                "Frames that wait at an edge for a receipt, as it last said",
                [(labels, item.outbox) for labels, item in by_edge if item.outbox is not None],
            ),
            metric(
                "edge_outbox_age_seconds",
                "gauge",
                "Age of the oldest frame that waits at an edge",
                [(labels, item.outbox_age_s) for labels, item in by_edge if item.outbox_age_s is not None],
            ),
            metric(
                "site_rows_expected",
                "gauge",
                "Rows that the register asks of a site in its last ended hour",
                [(labels, item.expected) for labels, item in by_site],
            ),
            metric(
                "site_rows_missing",
                "gauge",
                "Rows of them that nothing stands for",
                [(labels, item.missing) for labels, item in by_site],
            ),
        ]
    )
