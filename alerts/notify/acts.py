"""What people do with receivers: the acts of the API and of the command line, each in the caller's transaction."""

from __future__ import annotations

from dataclasses import replace

from alerts.notify.delivery import end_dead
from alerts.notify.destinations import Allowed
from alerts.notify.messages import Addressee, trial_message
from alerts.notify.sealing import Seal
from alerts.notify.targets import Target, Webhook, checked_service, checked_webhook, document_of, target_from
from plant.errors import NotFound, Refused
from store import notices, outgoing, receivers
from store.pool import Connection
from store.receivers import ReceiverRow


async def try_out(conn: Connection, row: ReceiverRow, message_id: str) -> None:
    """Owe a receiver a message that says that it is a test; a disabled one is refused."""
    _check_told(row)
    to = Addressee(receiver_id=row.receiver_id, name=row.name, language=row.language)
    message = trial_message(message_id, to, at=await notices.clock(conn))
    await outgoing.insert_once(
        conn, outgoing_id=message.message_id, kind=row.kind, receiver_id=row.receiver_id, payload=message.payload
    )
    await receivers.retry_now(conn, row.receiver_id)


async def resend(conn: Connection, row: ReceiverRow, message_id: str) -> None:
    """Owe a receiver a message once more, under the id it had; a disabled one is refused."""
    _check_told(row)
    if not await outgoing.owe_again(conn, row.receiver_id, message_id):
        raise NotFound(f"there is no message {message_id!r} to the receiver {row.name!r}")
    await receivers.retry_now(conn, row.receiver_id)


def _check_told(row: ReceiverRow) -> None:
    if row.disabled_at is not None:
        raise Refused(f"the receiver {row.name!r} is disabled: enable it first")


def moved(row: ReceiverRow, url: str, allowed: Allowed, seal: Seal) -> Target:
    """The target of a webhook or a service at another *url*; a webhook keeps its secrets."""
    if row.kind != "webhook":
        return checked_service(url, allowed)
    before = target_from(row.kind, seal.open(row.sealed))
    assert isinstance(before, Webhook), "by its kind"
    return replace(checked_webhook(url, before.secrets[0], allowed), secrets=before.secrets, ends=before.ends)


async def change_target(conn: Connection, row: ReceiverRow, target: Target, seal: Seal) -> None:
    """Send elsewhere from now on, at once also what waited."""
    await receivers.put_target(conn, row.receiver_id, sealed=seal.close(document_of(target)), shown=target.shown())
    await receivers.retry_now(conn, row.receiver_id)
    await outgoing.all_due(conn, row.receiver_id)


async def change_secret(conn: Connection, row: ReceiverRow, secret: str, *, keep_s: int, seal: Seal) -> None:
    """Sign with *secret* from now on, for *keep_s* with the present one as well."""
    target = target_from(row.kind, seal.open(row.sealed))
    if not isinstance(target, Webhook):
        raise Refused(f"the receiver {row.name!r} signs nothing: only a webhook has a secret")
    now = await notices.clock(conn)
    rotated = target.rotated(secret, now_s=int(now.timestamp()), keep_s=keep_s)
    await receivers.put_target(conn, row.receiver_id, sealed=seal.close(document_of(rotated)), shown=rotated.shown())


async def disable(conn: Connection, row: ReceiverRow, why: str) -> None:
    """Tell it nothing any more; what it was owed is given up and kept. Who does so knows about it: it is not dead."""
    await end_dead(conn, row)
    await receivers.disable(conn, row.receiver_id, why)
    await outgoing.give_up_all(conn, row.receiver_id, f"the receiver is disabled: {why}")


async def enable(conn: Connection, row: ReceiverRow) -> None:
    """Tell it again, from now on: what happened meanwhile is not told."""
    await end_dead(conn, row)
    await notices.forget(conn, row.receiver_id)
    await receivers.enable(conn, row.receiver_id)


async def retire(conn: Connection, row: ReceiverRow, why: str) -> None:
    """Take a receiver away; its messages stay, its name is free."""
    await end_dead(conn, row)
    await notices.forget(conn, row.receiver_id)
    await outgoing.give_up_all(conn, row.receiver_id, f"the receiver was retired: {why}")
    await receivers.retire(conn, row.receiver_id)
