"""What people say of receivers, checked: targets, routes, secrets. Faults name what is wrong and repeat no secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alerts.notify import acts, standard_webhooks
from alerts.notify.destinations import allowed_from
from alerts.notify.routes import SYSTEM
from alerts.notify.sealing import Seal
from alerts.notify.targets import Target, checked_mail, checked_service, checked_webhook
from alerts.rules.catalogue import about
from api.context import Context
from api.schemas.receivers import NewMail, NewService, NewWebhook, RouteBody, TargetBody
from plant.errors import BadDocument, Fault, NotFound, Refused, RoleMissing
from store import receivers
from store.pool import Connection
from store.principals import Principal
from store.receivers import ReceiverRow
from store.scope import Scope


def seal_of(here: Context) -> Seal:
    if here.seal is None:
        raise Refused("this installation cannot keep secrets: set STACKWATCH_SECRETS_KEY_FILE")
    return here.seal


def hears_of_itself(principal: Principal, wished: bool | None) -> bool:
    may = "admin" in principal.roles and not principal.sites and not principal.regions
    if wished and not may:
        raise RoleMissing("only an admin of the whole installation may be told of stackwatch itself")
    return may if wished is None else wished


def target_of(here: Context, body: NewWebhook | NewMail | NewService, made: str) -> Target:
    allowed = allowed_from(here.settings.notify_networks)
    match body:
        case NewWebhook():
            secret = body.secret.get_secret_value() if body.secret else made
            return checked_webhook(body.url.get_secret_value(), secret, allowed)
        case NewMail():
            return checked_mail(body.to)
        case NewService():
            return checked_service(body.url.get_secret_value(), allowed)


def moved(here: Context, row: ReceiverRow, body: TargetBody, seal: Seal) -> Target:
    allowed = allowed_from(here.settings.notify_networks)
    url = body.url.get_secret_value() if body.url else None
    if (row.kind == "mail") != (url is None) or (row.kind == "mail") != (body.to is not None):
        needed = "to" if row.kind == "mail" else "url"
        raise BadDocument("receiver", [Fault(needed, f"is what a receiver of kind {row.kind} needs, and nothing else")])
    if url is None:
        return checked_mail(body.to or [])
    return acts.moved(row, url, allowed, seal)


def check_secret(secret: str) -> None:
    try:
        standard_webhooks.key_of(secret)
    except ValueError as error:
        raise BadDocument("receiver", [Fault("secret", str(error))]) from None


def documents_of(routes: Sequence[RouteBody]) -> list[dict[str, Any]]:
    return [route.model_dump(mode="json") for route in routes]


async def check_routes(conn: Connection, scope: Scope, routes: Sequence[RouteBody]) -> None:
    """`BadDocument` for what would be silently without effect: unknown rules and places, a name used twice."""
    faults = []
    names = [route.name for route in routes]
    for place, route in enumerate(routes):
        where = f"routes.{place}"
        if names.index(route.name) != place or route.name == SYSTEM.name:
            faults.append(Fault(f"{where}.name", f"{route.name!r} is taken"))
        faults += [Fault(f"{where}.rules", f"there is no rule {rule!r}") for rule in route.rules if not _is_rule(rule)]
        sites, regions = await receivers.unknown_places(conn, scope, sites=route.sites, regions=route.regions)
        faults += [Fault(f"{where}.sites", f"{code!r} is not registered") for code in sites]
        faults += [Fault(f"{where}.regions", f"{code!r} is not registered") for code in regions]
    if faults:
        raise BadDocument("receiver", faults)


def _is_rule(name: str) -> bool:
    try:
        about(name)
    except NotFound:
        return False
    return True
