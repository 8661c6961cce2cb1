"""What an agent file says about an OPC UA server: how to reach it, how to trust it, and which nodes to watch.

[[opcua]]
url = "opc.tcp://10.0.0.5:4840"
publish_ms = 1000                how often the server sends
sampling_ms = 1000               how often it looks
queue_size = 10                  values of a node that it keeps between two sendings
settle_s = 3                     how long a row waits for values after its interval
hold_s = 3600                    longest that a value stands without being told again; left out: no bound
time = "source"                  "server" or "edge" where the source's clock is worth nothing
policy = "Basic256Sha256"        with mode, certificate, key, server_certificate
user = "reader"                  with password_file
  [[opcua.group]]                `edge.fieldbus.groups`
    [[opcua.group.channel]]      channel = "so2", node = "ns=2;s=DA001.SO2"; or "nsu=urn:maker:plc;s=DA001.SO2"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from edge.fieldbus.groups import Group, check_groups, read_group
from edge.sources import Context
from plant.reading import Reader

POLICIES: Final = ("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
"""Without Basic128Rsa15 and Basic256: they rest on SHA-1, and OPC UA advises against them."""
MODES: Final = ("SignAndEncrypt", "Sign")
TIMES: Final = ("source", "server", "edge")
_SECURITY: Final = ("mode", "certificate", "key", "server_certificate", "application_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    policy: str
    mode: str
    certificate: Path
    key: Path
    server_certificate: Path
    application_uri: str | None  #: None: the one in the certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaPlan:
    url: str
    groups: tuple[Group[str], ...]
    publish_ms: int = 1000
    sampling_ms: int = 1000
    queue_size: int = 10
    settle_s: float = 3.0
    hold_s: float | None = None
    timeout_s: float = 4.0
    time: str = "source"
    security: Security | None = None
    user: str | None = None
    password: str = field(default="", repr=False)

    @property
    def nodes(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(node for group in self.groups for node in group.addresses))


def read_plan(table: Reader, context: Context) -> OpcuaPlan:
    """What *table* says; faults are noted in it."""
    security = _security(table, context)
    user, password = _user(table, context, secure=security is not None)
    publish_ms = table.whole("publish_ms", 1000, low=50, high=60_000)
    return OpcuaPlan(
        url=_url(table),
        groups=_groups(table),
        publish_ms=publish_ms,
        sampling_ms=table.whole("sampling_ms", publish_ms, low=0, high=60_000),
        queue_size=table.whole("queue_size", 10, low=1, high=1000),
        settle_s=table.number("settle_s", 2.0 + publish_ms / 1000, low=0, high=600),
        hold_s=table.maybe_number("hold_s", low=1, high=86_400),
        timeout_s=table.number("timeout_s", 4.0, low=0.1, high=60),
        time=table.one_of("time", TIMES, "source"),
        security=security,
        user=user,
        password=password,
    )


def _url(table: Reader) -> str:
    url = table.text("url")
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "opc.tcp" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        table.fault("url", "must look like opc.tcp://host:4840")
    elif parts.username is not None:
        table.fault("url", "must hold no user: write user and password_file")
    return url


def _security(table: Reader, context: Context) -> Security | None:
    policy = table.one_of("policy", POLICIES, "None")
    if policy == "None":
        for key in _SECURITY:
            if key in table:
                table.raw(key)
                table.fault(key, "is of no use without a policy")
        return None
    return Security(
        policy=policy,
        mode=table.one_of("mode", MODES, "SignAndEncrypt"),
        certificate=_file(table, context, "certificate"),
        key=_file(table, context, "key"),
        server_certificate=_file(table, context, "server_certificate"),
        application_uri=table.text("application_uri") if "application_uri" in table else None,
    )


def _file(table: Reader, context: Context, key: str) -> Path:
    path = context.file(table.text(key))
    if key in table and not path.is_file():
        table.fault(key, f"there is no file {table.raw(key)!r}")
    return path


def _user(table: Reader, context: Context, *, secure: bool) -> tuple[str | None, str]:
    in_clear = table.boolean("password_in_clear", False)
    if "user" not in table:
        if "password_file" in table:
            table.raw("password_file")
            table.fault("password_file", "is of no use without a user")
        return None, ""
    user = table.text("user")
    if not secure and not in_clear:
        table.fault("user", "a password may travel in clear without a policy: write one, or password_in_clear = true")
    path = _file(table, context, "password_file")
    try:
        return user, path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        if "password_file" in table and path.is_file():
            table.fault("password_file", "cannot be read")
        return user, ""


def _groups(table: Reader) -> tuple[Group[str], ...]:
    checked: list[tuple[Reader, Group[str]]] = []
    for group_table in table.tables("group"):
        checked.append((group_table, read_group(group_table, group_table, _node, _node)))
        group_table.finish()
    check_groups(checked)
    if not checked:
        table.fault("group", "is required: what to watch, such as [[opcua.group]]")
    return tuple(group for _, group in checked)


def _node(table: Reader) -> str:
    text = table.text("node")
    if text == "?":
        return text
    try:
        ua.NodeId.from_string(split_node(text)[1])
    except (ValueError, TypeError, UaError):
        table.fault("node", f"{text!r} is no node id, such as ns=2;s=DA001.SO2, ns=2;i=1001 or nsu=urn:maker:plc;s=SO2")
    return text


def split_node(text: str) -> tuple[str | None, str]:
    """The URI of the namespace, where *text* names it by that, and the node id with an index for it."""
    if not text.startswith("nsu="):
        return None, text
    uri, _, rest = text.removeprefix("nsu=").partition(";")
    return uri, f"ns=0;{rest}"
