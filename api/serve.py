"""The API as a process: uvicorn inside our own main task, ended by cancelling that task."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from api.app import create_app
from api.context import Context
from plant.errors import BadDocument, Fault
from plant.settings import Settings

logger = logging.getLogger(__name__)

GRACE_S: Final = 5  #: for requests under way; streams are ended at once
BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Leaves signals to the command line, which cancels our task."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> None:
    """Answer at the address of *settings* until cancelled; then end the streams and finish what is under way.

    Raises
    ------
    BadDocument
        If a setting is missing or the address cannot be had.
    """
    settings.require("database_url")
    app = create_app(settings)
    context: Context = app.state.context
    listener = _listen(settings.http_host, settings.http_port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",  # entered here, so that a part of it that fails ends the process
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = _Server(config)
    try:
        async with app.router.lifespan_context(app):
            answering = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            logger.info("api_started", extra={"host": settings.http_host, "port": listener.getsockname()[1]})
            try:
                await asyncio.shield(answering)
            finally:
                context.feed.close()
                server.should_exit = True
                async with asyncio.timeout(GRACE_S + 5):
                    await answering
                logger.info("api_stopped")
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BadDocument(
            "environment", [Fault("STACKWATCH_HTTP_PORT", f"{host}:{port} cannot be had: {error.strerror}")]
        ) from error
