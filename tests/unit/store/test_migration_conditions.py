"""Which migrations a database gets: by what it offers, and by its licence."""

from __future__ import annotations

from typing import Any, cast

import pytest

from store import migrate
from store.migrate import migrations
from store.pool import Connection


class Answering:
    """A connection to a server with TimescaleDB under *licence*; None: a plain one."""

    def __init__(self, licence: str | None) -> None:
        self._licence = licence
        self.created = False

    async def execute(self, query: str) -> Answering:
        self._asked = query
        self.created |= query.startswith("CREATE EXTENSION")
        return self

    async def fetchone(self) -> tuple[Any, ...] | None:
        if "pg_available_extensions" in self._asked:
            return None if self._licence is None else (1,)
        return (self._licence,)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        pytest.param(None, {None}, id="plain"),
        pytest.param("apache", {None, "timescale"}, id="apache"),
        pytest.param("timescale", {None, "timescale", "timescale-community"}, id="community"),
    ],
)
@pytest.mark.anyio
async def test_a_database_gets_what_it_can_have(licence: str | None, expected: set[str | None]) -> None:
    server = Answering(licence)
    assert await migrate._conditions(cast(Connection, server)) == expected
    assert server.created == (licence is not None)


def test_what_only_the_community_licence_has_stands_in_its_own_files() -> None:
    reserved = ("timescaledb.compress", "add_compression_policy", "add_retention_policy", "add_job", "columnstore")
    for migration in migrations():
        statements = "\n".join(line.partition("--")[0] for line in migration.sql.splitlines())
        if migration.condition != "timescale-community":
            assert not any(word in statements for word in reserved), migration.name
        if migration.condition is None:
            assert "hypertable" not in statements, migration.name


def test_nothing_is_dropped_by_anybody_else_s_policy() -> None:
    """What is kept how long is `store.retention`, the same under every licence."""
    assert not any("add_retention_policy" in migration.sql for migration in migrations())
