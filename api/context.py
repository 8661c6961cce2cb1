"""What every route works with: settings, the pool, the feed and the key that signs orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from psycopg_pool import AsyncConnectionPool

from alerts.enforcement.signing import Signer
from alerts.notify.sealing import Seal
from api.exposition import BookMetrics
from api.feed import Feed
from plant.settings import Settings
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    settings: Settings
    pool: AsyncConnectionPool[Connection]
    feed: Feed
    signer: Signer | None  #: None where this installation signs no orders
    seal: Seal | None = None  #: None where this installation can keep no secrets of receivers
    book_metrics: BookMetrics = field(default_factory=BookMetrics)


def _context_of(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_context_of)]
