"""Where a receiver is, with its secrets: as it is sealed, as it may be shown, and as a person gives it.

What is given is checked here once; where its host lies is checked again at each sending, for names move. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from alerts.notify import standard_webhooks
from alerts.notify.destinations import MAX_URL, Allowed, Forbidden, check_url
from plant.errors import BadDocument, Fault

MOST_ADDRESSES: Final = 20
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

#: Services that Apprise reaches at an address of their own.
HOSTED: Final = frozenset(
    (
        *(
            "dingtalk",
            "feishu",
            "lark",
            "wecombot",
            "wechat",
            "wxpusher",
            "pushplus",
            "schan",
            "spugpush",
            "qq",
            "kook",
        ),
        *("slack", "tgram", "discord", "gchat", "webex", "wxteams", "line", "viber", "whatsapp", "threema"),
        *("pagerduty", "opsgenie", "ilert", "splunk", "squadcast", "pagertree", "pover", "twilio", "vonage"),
    )
)
#: Servers of one's own, by the host in the URL: encrypted ones, and those that are not.
ENCRYPTED: Final = frozenset(
    (
        *("mmosts", "rockets", "matrixs", "ntfys", "gotifys", "synologys", "nctalks", "barks", "signals", "apprises"),
        *("workflows", "zulip", "jsons", "forms", "xmls"),
    )
)
PLAIN: Final = frozenset(name.removesuffix("s") for name in ENCRYPTED - {"workflows", "zulip"})
_OURS: Final = frozenset(
    (
        *("redirect", "verify", "cto", "rto", "retry", "wait", "optional", "store", "format", "overflow", "tz"),
        *("emojis", "template"),
    )
)
"""Parameters of an Apprise URL that would change what we decide: redirects, certificates, deadlines, what a failure is,
the form. A template would be read from this machine's files, or fetched by it."""
_OWN: Final = re.compile(r"([^@/?#\\]*@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""User, host and port of a server of one's own: only what Apprise and we are bound to read alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    url: str
    secrets: tuple[str, ...]  #: the newest first; an older one signs too until it ends
    ends: tuple[int | None, ...] = (None,)  #: seconds since the epoch at which each secret ends

    def secrets_at(self, now_s: float) -> list[str]:
        pairs = zip(self.secrets, self.ends, strict=True)
        return [secret for secret, end in pairs if end is None or now_s < end]

    def rotated(self, secret: str, *, now_s: int, keep_s: int) -> Webhook:
        """With a new secret; the present one signs beside it for *keep_s*."""
        kept = [
            (one, now_s + keep_s if end is None else min(end, now_s + keep_s))
            for one, end in zip(self.secrets, self.ends, strict=True)
            if keep_s > 0 and (end is None or end > now_s)
        ][:1]
        return Webhook(
            url=self.url, secrets=(secret, *(one for one, _ in kept)), ends=(None, *(end for _, end in kept))
        )

    def shown(self) -> dict[str, Any]:
        """The host and no more: paths and queries of webhooks are often secrets."""
        return {"url": masked(self.url), "secrets": len(self.secrets)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    to: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        return {"to": list(self.to)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that Apprise knows: its URL holds tokens and is a secret as a whole."""

    url: str

    @property
    def schema(self) -> str:
        return self.url.partition("://")[0].lower()

    @property
    def host(self) -> str | None:
        """Of a server of one's own; None where the service has its own address."""
        host = None if self.schema in HOSTED else urlsplit(self.url).hostname
        return f"{host}.zulipchat.com" if self.schema == "zulip" and host and "." not in host else host

    @property
    def encrypted(self) -> bool:
        return self.schema in ENCRYPTED

    def shown(self) -> dict[str, Any]:
        return {"url": f"{self.schema}://{self.host or ''}***"}


Target = Webhook | Mail | Service


def document_of(target: Target) -> dict[str, Any]:
    """What is sealed; `target_from` reads it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(target).items()}


def target_from(kind: str, document: Mapping[str, Any]) -> Target:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    match kind:
        case "webhook":
            return Webhook(**values)
        case "mail":
            return Mail(**values)
        case _:
            return Service(**values)


def checked_webhook(url: str, secret: str, allowed: Allowed) -> Webhook:
    """A webhook as given; `BadDocument` says what is wrong and repeats neither URL nor secret."""
    faults = []
    try:
        check_url(url, allowed)
    except Forbidden as error:
        faults.append(Fault("url", str(error)))
    try:
        standard_webhooks.key_of(secret)
    except ValueError as error:
        faults.append(Fault("secret", str(error)))
    if faults:
        raise BadDocument("receiver", faults)
    return Webhook(url=url, secrets=(secret,))


def checked_mail(to: Sequence[str]) -> Mail:
    faults = [Fault("to", f"{address!r} is no mail address") for address in to if not _ADDRESS.fullmatch(address)]
    if not 1 <= len(to) <= MOST_ADDRESSES:
        faults.append(Fault("to", f"must hold 1 to {MOST_ADDRESSES} addresses"))
    if faults:
        raise BadDocument("receiver", faults)
    return Mail(to=tuple(to))


def checked_service(url: str, allowed: Allowed) -> Service:
    """An Apprise URL as given, of a service on our list."""
    service = Service(url=url)
    fault = _fault_of_service(service, allowed)
    if fault is not None:
        raise BadDocument("receiver", [Fault("url", fault)])
    return service


def _fault_of_service(service: Service, allowed: Allowed) -> str | None:
    schema = service.schema
    if "://" not in service.url or len(service.url) > MAX_URL or not service.url.isprintable():
        return "must be a URL as Apprise has them, such as dingtalk://TOKEN"
    if schema not in HOSTED | ENCRYPTED | PLAIN:
        known = ", ".join(sorted(HOSTED | ENCRYPTED))
        return f"{schema}:// is no service that we send to; there are {known}"
    if schema in PLAIN and not allowed.networks:
        return f"{schema}:// is not encrypted: use {schema}s://"
    authority = re.split(r"[/?#]", service.url.partition("://")[2], maxsplit=1)[0]
    if schema not in HOSTED and not _OWN.fullmatch(authority):  # a token may hold what no host may
        return "needs a host, written in ASCII, and no more than one @ before it"
    try:
        _ = service.host
    except ValueError:
        return "is no URL"
    parameters = _parameters(service.url)
    if ours := sorted(_OURS.intersection(name for name, _ in parameters)):
        return f"must not set {', '.join(ours)}"
    if schema == "matrixs" and {value for name, value in parameters if name == "discovery"} != {"no"}:
        return "needs discovery=no: its server could send our messages elsewhere"
    return None


def _parameters(url: str) -> list[tuple[str, str]]:
    """Names and values behind the question mark, divided as Apprise divides them."""
    pairs = (part.partition("=") for part in re.split(r"[&;]", url.partition("?")[2]))
    return [
        (unquote(name.replace("+", " ")).strip().lower(), unquote(value).strip().lower()) for name, _, value in pairs
    ]


def masked(url: str) -> str:
    """Scheme and host of a URL; what follows may be a secret."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    more = "/***" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{parts.hostname}{port}{more}"
