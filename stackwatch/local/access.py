"""Who may say what on the embedded broker, as text of its configuration.

The broker maps the levels of an MQTT topic to the tokens of a subject: `a/+/b` is `a.*.b`. The subjects that its
MQTT implementation needs (`$MQTT.`) are implicitly allowed, and it refuses them to clients who name them by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from plant import topics

SYSTEM: Final = "stackwatch.system"  # the dot keeps it apart from every site's code
ANYBODY: Final = "stackwatch.anybody"

_LEVELS: Final = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


def by_site(root: str, passwords: Mapping[str, str], *, sites: Collection[str]) -> str:
    """The system under *root*, each site under its own topics."""
    prefix = subject(root)
    users = [_user(SYSTEM, passwords[SYSTEM], publish=[f"{prefix}.>"], subscribe=[f"{prefix}.>"])]
    for site in sorted(sites):
        users.append(
            _user(
                site,
                passwords[site],
                publish=[f"{prefix}.{site}.*.{kind}" for kind in sorted(topics.FROM_EDGES)],
                subscribe=[f"{prefix}.{site}.*.{topics.RECEIPT}", f"{prefix}.{site}.{topics.ORDERS}"],
            )
        )
    return _authorization(users)


def everybody() -> str:
    """Local MQTT clients need no credentials; the broker's own protocol stays closed."""
    return _authorization([f"{{ user: {_quoted(ANYBODY)}, password: {_quoted('')}, {_MQTT_ONLY} }}"])


def subject(topic: str) -> str:
    """*topic*, which holds no wildcard, as a subject."""
    if not _LEVELS.fullmatch(topic):
        raise ValueError(f"topic root {topic!r}: the embedded broker takes levels of A-Z a-z 0-9 _ - only")
    return topic.replace("/", ".")


_MQTT_ONLY: Final = 'allowed_connection_types: ["MQTT"]'


def _user(name: str, password: str, *, publish: Sequence[str], subscribe: Sequence[str]) -> str:
    allowed = f"publish: {{ allow: {_list(publish)} }}, subscribe: {{ allow: {_list(subscribe)} }}"
    login = f"user: {_quoted(name)}, password: {_quoted(password)}, {_MQTT_ONLY}"
    return f"{{ {login},\n      permissions: {{ {allowed} }} }}"


def _authorization(users: Sequence[str]) -> str:
    lines = "".join(f"    {user}\n" for user in users)
    return f"authorization {{\n  timeout: 10\n  users: [\n{lines}  ]\n}}"


def _list(subjects: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, subjects))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
