"""A feed that things happen in, and receivers that follow it: for tests of who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from alerts.notify.routes import Route
from alerts.notify.sealing import Seal, load_seal, new_key
from alerts.notify.serve import tell
from alerts.notify.standard_webhooks import secret_from
from alerts.notify.targets import Target, Webhook, document_of
from case_builders import a_works, an_alert
from plant.settings import Settings
from store import findings, receivers
from store.pool import Connection
from store.receivers import NewReceiver
from store.scope import EVERYWHERE

DEADLINE_S: Final = 60.0
LOOPBACK: Final = "127.0.0.0/8"
SECRET: Final = secret_from(b"s" * 32)
AT_ONCE: Final = Route(name="all", wait_s=0, interval_s=0)

_STATES: Final = {
    "opened": "firing",
    "reopened": "firing",
    "escalated": "firing",
    "unsuppressed": "firing",
    "suppressed": "firing",
    "changed": "firing",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "withdrawn": "withdrawn",
}


class Told:
    """One installation with its feed and its receivers."""

    def __init__(self, conn: Connection, settings: Settings) -> None:
        self.conn = conn
        self.settings = settings
        self.seal: Seal = load_seal(settings.secrets_key_file)

    async def receiver(
        self,
        name: str,
        target: Target,
        *routes: Route,
        language: str = "en",
        system: bool = False,
        regions: Sequence[str] = (),
    ) -> int:
        kind = {"Webhook": "webhook", "Mail": "mail"}.get(type(target).__name__, "apprise")
        async with self.conn.transaction():
            return await receivers.insert(
                self.conn,
                NewReceiver(
                    name=name,
                    kind=kind,
                    shown=target.shown(),
                    sealed=self.seal.close(document_of(target)),
                    language=language,
                    routes=[route.document() for route in routes or (AT_ONCE,)],
                    system=system,
                    sites=(),
                    regions=regions,
                ),
                by="test",
            )

    async def webhook(self, name: str, url: str, *routes: Route, **more: Any) -> int:
        return await self.receiver(name, Webhook(url=url, secrets=(SECRET,)), *routes, **more)

    async def happens(self, event: str, *alerts: str, rule: str = "hour_above_limit", **more: Any) -> None:
        """*event* happens to *alerts*, which are made where they are not there yet; the feed has numbered it."""
        async with self.conn.transaction():
            for alert in alerts:
                if not await findings.is_known(self.conn, alert):
                    await an_alert(self.conn, alert, rule=rule, **more)
                await self.conn.execute(
                    "UPDATE alert SET state = %s, suppressed_by = %s WHERE alert_id = %s",
                    [_STATES[event], '[{"reason": "silence"}]' if event == "suppressed" else None, alert],
                )
            await findings.announce(self.conn, [(alert, event) for alert in alerts])
        async with self.conn.transaction():
            while await findings.number_events(self.conn, 5_000):
                pass

    async def one(self, query: Any, *parameters: Any) -> Any:
        row = await (await self.conn.execute(query, parameters)).fetchone()
        return None if row is None else row[0]

    async def states(self) -> dict[str, dict[str, Any]]:
        """What the API would show of each receiver, by name."""
        return {row["name"]: row for row in await receivers.list_receivers(self.conn, EVERYWHERE, limit=1_000)}

    @asynccontextmanager
    async def telling(self, *, processes: int = 1) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(tell(self.settings), name=f"tell {n}") for n in range(processes)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


async def told_in(conn: Connection, database_url: str, folder: Path, **settings: Any) -> Told:
    """An installation with a works and a key that seals."""
    key = folder / "secrets.key"
    key.write_text(new_key())
    await a_works(conn)
    settings = {"notify_networks": LOOPBACK, **settings}
    return Told(conn, Settings(database_url=database_url, secrets_key_file=str(key), **settings))


async def until(true: Callable[[], Awaitable[bool]] | Callable[[], bool], what: str) -> None:
    """Wait for something that happens in other tasks or processes."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = true()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:g} s: {what}") from None
