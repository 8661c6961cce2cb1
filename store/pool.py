"""Connections: one pool a process, every wait with a deadline, driver errors translated once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from plant.errors import BadDocument, Fault, Unavailable

Connection = psycopg.AsyncConnection[Any]

CONNECT_TIMEOUT_S: Final = 10
WAIT_TIMEOUT_S: Final = 15.0
_AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)


def open_pool(
    database_url: str, *, name: str, size: int = 4, idle_s: float | None = None
) -> AsyncConnectionPool[Connection]:
    """A pool that is not yet open; `async with` it. A database that is away is found out at first use.

    A transaction that does nothing for *idle_s* is ended by the database: who holds it stands still or is gone, and
    others wait for its locks.

    Raises
    ------
    BadDocument
        If *database_url* is no database's address.
    """

    async def configure(conn: Connection) -> None:
        if idle_s is not None:
            setting = "SELECT set_config('idle_in_transaction_session_timeout', %s, false)"
            await conn.execute(setting, [str(round(idle_s * 1000))])
            await conn.commit()

    return AsyncConnectionPool(
        _checked(database_url),
        min_size=0,
        max_size=size,
        open=False,
        name=name,
        timeout=WAIT_TIMEOUT_S,
        max_waiting=200,
        reconnect_timeout=5,
        kwargs={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": f"stackwatch {name}"},
        configure=configure,
        check=AsyncConnectionPool.check_connection,
    )


@asynccontextmanager
async def transaction(pool: AsyncConnectionPool[Connection]) -> AsyncIterator[Connection]:
    """One transaction on one connection, committed at the end.

    Raises
    ------
    Unavailable
        If the database is away or went away: nothing was committed as far as anybody knows. Try again.
    """
    try:
        async with pool.connection() as conn:
            yield conn
    except psycopg.errors.ProgramLimitExceeded:
        raise  # what was given is too large: it would be so the next time too
    except _AWAY as error:
        raise Unavailable(f"database: {error}") from error


async def connect(database_url: str, *, name: str, autocommit: bool = False) -> Connection:
    """A connection of one's own.

    Raises
    ------
    BadDocument
        If *database_url* is no database's address.
    Unavailable
        If there is none to be had.
    """
    try:
        return await psycopg.AsyncConnection.connect(
            _checked(database_url),
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"stackwatch {name}",
        )
    except psycopg.OperationalError as error:
        raise Unavailable(f"database: {error}") from error


def _checked(database_url: str) -> str:
    try:
        conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:  # its text may repeat a password
        wanted = "must look like postgresql://user:password@host:port/name"
        raise BadDocument("database's address", [Fault("", wanted)]) from None
    return database_url
