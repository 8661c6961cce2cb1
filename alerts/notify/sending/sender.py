"""One attempt to deliver one message, whatever the kind of its receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from alerts.notify.addresses import Unresolvable, addresses_of
from alerts.notify.destinations import Allowed, Forbidden, allowed_from
from alerts.notify.outcomes import Failed, Outcome
from alerts.notify.sending import mail, services, webhooks
from alerts.notify.targets import Mail, Service, Target, Webhook
from plant.settings import Settings

THREADS: Final = 16
BLOCKING_S: Final = 60.0  #: of what runs in a thread; every wait in it has a deadline of its own besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What all attempts of a process share."""

    http: httpx.AsyncClient
    threads: ThreadPoolExecutor
    allowed: Allowed
    relay: mail.Relay | None

    async def send(self, target: Target, message_id: str, payload: str, *, now: datetime) -> Outcome:
        """Try once; an answer, whatever happens outside."""
        match target:
            case Webhook():
                return await webhooks.post(self.http, target, message_id, payload, allowed=self.allowed, now=now)
            case Mail():
                return await self._mail(target, message_id, payload, now=now)
            case Service():
                return await self._service(target, payload)

    async def _mail(self, target: Mail, message_id: str, payload: str, *, now: datetime) -> Outcome:
        if self.relay is None:
            return Failed(reason="no mail relay is known: set STACKWATCH_MAIL_URL")
        subject, body = _words(payload)
        letter = mail.letter(self.relay, target.to, message_id, subject, body, now=now)
        relay = self.relay
        return await self._in_thread(lambda: mail.send(relay, letter))

    async def _service(self, target: Service, payload: str) -> Outcome:
        try:
            if target.host is not None:
                await addresses_of(target.host, 443, self.allowed, encrypted=target.encrypted)
        except Forbidden as error:
            return Failed(reason=f"the URL {error}")
        except Unresolvable as error:
            return Failed(reason=str(error))
        subject, body = _words(payload)
        return await self._in_thread(lambda: services.send(target.url, subject, body))

    async def _in_thread(self, send: Callable[[], Outcome]) -> Outcome:
        try:
            async with asyncio.timeout(BLOCKING_S):
                return await asyncio.get_running_loop().run_in_executor(self.threads, send)
        except TimeoutError:
            return Failed(reason=f"no answer within {BLOCKING_S:g} s")


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """The sender of a process; `BadDocument` where a setting is wrong."""
    relay = mail.relay_from(settings.mail_url, settings.mail_from)
    allowed = allowed_from(settings.notify_networks)
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notify")
    try:
        async with webhooks.client() as http:
            yield Sender(http=http, threads=threads, allowed=allowed, relay=relay)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _words(payload: str) -> tuple[str, str]:
    """Subject and text of a message."""
    data = json.loads(payload)["data"]
    return data["subject"], data["text"]
