"""Mosquitto 2: `mosquitto.conf`, its access list, and a file of hashed passwords where there are no certificates.

It checks an access list when it hands a message over, not when somebody subscribes: a foreign subscription is granted
and stays silent. A denied publication of QoS 1 is acknowledged (MQTT 3.1.1 has no other answer) and dropped.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Final

from stackwatch.brokers.identities import Identity
from stackwatch.brokers.plan import IN_FLIGHT, LARGEST_MESSAGE, WRITTEN_BY, BrokerPlan

CONFIGURATION: Final = "mosquitto.conf"
ACCESS: Final = "acl"
PASSWORDS: Final = "passwords"

_ITERATIONS: Final = 20_000
"""At each connection the broker counts through them in its only thread; the passwords are 192 random bits."""
_SALT_BYTES: Final = 12
_QUEUED: Final = 1_000_000
"""Out of reach, and not 0 for "no bound": with 0 some 2.0 releases close a connection at each denial (2.0.11, seen) or
stop delivering (eclipse/mosquitto#2879)."""


def files(plan: BrokerPlan, salt: Callable[[], bytes] = lambda: os.urandom(_SALT_BYTES)) -> Mapping[str, str]:
    """Text by file name; *salt* is asked once a password."""
    written = {CONFIGURATION: _configuration(plan), ACCESS: access_list(plan)}
    if not plan.by_certificate:
        lines = (f"{name}:{hashed(password, salt())}\n" for name, password in sorted(plan.passwords.items()))
        written[PASSWORDS] = "".join(lines)
    return written


def access_list(plan: BrokerPlan) -> str:
    return f"# {WRITTEN_BY}\n" + "".join(_grants(identity) for identity in plan.identities)


def hashed(password: str, salt: bytes, iterations: int = _ITERATIONS) -> str:
    """*password* as a line of a password file holds it: PBKDF2 with SHA-512, its kind 7."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${_base64(salt)}${_base64(digest)}"


def _configuration(plan: BrokerPlan) -> str:
    tls = plan.tls
    lines = [
        f"# {WRITTEN_BY}",
        f"listener {plan.port} {plan.host}",
        f"certfile {tls.cert}",
        f"keyfile {tls.key}",
    ]
    if plan.by_certificate:
        lines += [
            f"cafile {tls.ca}",
            *([f"crlfile {tls.crl}"] if tls.crl else []),
            "require_certificate true",
            "use_identity_as_username true",
        ]
    else:
        lines.append(f"password_file {plan.installed_at / PASSWORDS}")
    lines += [
        "allow_anonymous false",
        f"acl_file {plan.installed_at / ACCESS}",
        "",
        "# What an ingestor that is away has not taken is kept, and survives a restart. The bound: an edge has at",
        "# most its window of frames without a receipt; what a broker drops all the same, the edge sends again.",
        "persistence true",
        f"persistence_location {plan.store}/",
        "autosave_interval 60",
        f"max_inflight_messages {IN_FLIGHT}",
        f"max_queued_messages {_QUEUED}",
        f"message_size_limit {LARGEST_MESSAGE}",
        "",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
    ]
    return "\n".join(lines) + "\n"


def _grants(identity: Identity) -> str:
    lines = [f"\nuser {identity.name}"]
    lines += [f"topic write {topic}" for topic in identity.publish]
    lines += [f"topic read {topic}" for topic in identity.subscribe]
    return "\n".join(lines) + "\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
