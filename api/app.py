"""The application: every route, the errors' one table, and what lives as long as the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from alerts.enforcement.signing import load_signer
from alerts.notify.sealing import load_seal
from api import errors
from api.context import Context
from api.feed import Feed
from api.routes import (
    about,
    alerts,
    books,
    cases,
    health,
    instruments,
    live,
    mark_drafts,
    marks,
    metrics,
    pages,
    receiver_acts,
    receivers,
    reconciliation,
    rules,
    silences,
    sites,
    stacks,
)
from api.schemas.common import Problem
from api.watching import watch
from plant.settings import Settings
from store.pool import open_pool

POOL_SIZE: Final = 8
POOL_WAIT_S: Final = 5.0  #: then 503: whoever asks over HTTP can ask again
ABOUT: Final = (
    "Watches the stacks of iron and steel works. Times are ISO 8601 with an offset on the way in, UTC with `Z` on the "
    "way out. Lists answer `{items, next}` and are newest first unless they say otherwise. Errors are problem details "
    "(RFC 9457). Without a token one reads what is published."
)


def create_app(settings: Settings) -> FastAPI:
    """The API on the database of *settings*; its lifespan opens the pool and follows the feed.

    Raises
    ------
    BadDocument
        If the key that signs orders, or the one that seals secrets, is named and cannot be read.
    """
    app = FastAPI(
        title="stackwatch",
        version=version("stackwatch"),
        description=ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # both pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    pool = open_pool(settings.database_url, name="api", size=POOL_SIZE)
    pool.timeout = POOL_WAIT_S
    app.state.context = Context(
        settings=settings,
        pool=pool,
        feed=Feed(settings.database_url),
        signer=load_signer(settings.order_key_file) if settings.order_key_file else None,
        seal=load_seal(settings.secrets_key_file) if settings.secrets_key_file else None,
    )
    v1 = APIRouter(prefix="/v1", responses={"default": {"model": Problem, "description": "Problem details"}})
    # `live` before `alerts`: /alerts/stream is no alert's id; `mark_drafts` before `marks` for the like reason.
    for module in (
        health,
        sites,
        stacks,
        reconciliation,
        live,
        alerts,
        silences,
        cases,
        mark_drafts,
        marks,
        instruments,
        books,
        receivers,
        receiver_acts,
        rules,
        about,
    ):
        v1.include_router(module.router)
    app.include_router(v1)
    app.include_router(metrics.router)
    app.include_router(pages.router)
    errors.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # the framework's own way to change it
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    async with context.pool, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(context.feed.run(), name="feed")
        watching = tasks.create_task(watch(context.pool, context.settings), name="watch the stage")
        try:
            yield
        finally:
            context.feed.close()
            following.cancel()
            watching.cancel()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document: problems under their own media type."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for operations in document["paths"].values():
            for operation in operations.values():
                problem = operation["responses"].get("default")
                if problem:
                    (schema,) = problem["content"].values()
                    problem["content"] = {errors.MEDIA_TYPE: schema}
        app.openapi_schema = document
    return app.openapi_schema
