"""Who may say what on a nats-server, as text of its configuration: the embedded one's, and parts for others.

The broker maps the levels of an MQTT topic to the tokens of a subject: `a/+/b` is `a.*.b`. The subjects that its
MQTT implementation needs (`$MQTT.`) are implicitly allowed, and it refuses them to clients who name them by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from stackwatch.brokers import identities

SYSTEM: Final = "stackwatch.system"  # the dot keeps it apart from every site's code
ANYBODY: Final = "stackwatch.anybody"

_LEVELS: Final = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_WILDCARDS: Final = {"+": "*", "#": ">"}


def by_site(root: str, passwords: Mapping[str, str], *, sites: Collection[str]) -> str:
    """The system under *root*, each site under its own topics."""
    subject(root)  # refuses a root that could mean more than it says
    users = [user(SYSTEM, passwords[SYSTEM], publish=[f"{root}/#"], subscribe=[f"{root}/#"])]
    for site in sorted(sites):
        one = identities.of_site(root, site)
        users.append(user(one.name, passwords[site], publish=one.publish, subscribe=one.subscribe))
    return authorization(users)


def everybody() -> str:
    """Local MQTT clients need no credentials; the broker's own protocol stays closed."""
    return authorization([f"{{ user: {_quoted(ANYBODY)}, password: {_quoted('')}, {_MQTT_ONLY} }}"])


def subject(topic: str) -> str:
    """*topic*, which holds no wildcard, as a subject."""
    if not _LEVELS.fullmatch(topic):
        raise ValueError(f"topic root {topic!r}: the broker takes levels of A-Z a-z 0-9 _ - only")
    return topic.replace("/", ".")


def user(name: str, password: str | None, *, publish: Sequence[str], subscribe: Sequence[str]) -> str:
    """One user who speaks MQTT only, near these MQTT filters and no others; without a password, by its certificate."""
    login = f"user: {_quoted(name)}, " + ("" if password is None else f"password: {_quoted(password)}, ") + _MQTT_ONLY
    permissions = f"publish: {_allowed(publish)}, subscribe: {_allowed(subscribe)}"
    return f"{{ {login},\n      permissions: {{ {permissions} }} }}"


def authorization(users: Sequence[str]) -> str:
    lines = "".join(f"    {user}\n" for user in users)
    return f"authorization {{\n  timeout: 10\n  users: [\n{lines}  ]\n}}"


_MQTT_ONLY: Final = 'allowed_connection_types: ["MQTT"]'


def _allowed(filters: Sequence[str]) -> str:
    # An empty list of what is allowed would allow everything.
    return f"{{ allow: {_list([_pattern(one) for one in filters])} }}" if filters else '{ deny: [">"] }'


def _pattern(one: str) -> str:
    """An MQTT filter as a subject, level by level."""
    return ".".join(_WILDCARDS.get(level) or subject(level) for level in one.split("/"))


def _list(subjects: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, subjects))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
