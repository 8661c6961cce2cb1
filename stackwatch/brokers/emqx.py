"""EMQX 5: settings for `base.hocon`, an authorization file, and users to begin with where there are no certificates.

Every place that lets clients in without TLS is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stackwatch.brokers.plan import IN_FLIGHT, LARGEST_MESSAGE, WRITTEN_BY, BrokerPlan, bracketed

CONFIGURATION: Final = "stackwatch.hocon"
ACCESS: Final = "acl.conf"
USERS: Final = "users.csv"

_TEXT: Final = """\
# {written_by}
# Include it at the end of base.hocon: include "{here}"
listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
listeners.ssl.default {{
  enable = true
  bind = "{bind}"
  ssl_options {{
    certfile = "{cert}"
    keyfile = "{key}"
{verify}  }}
}}
mqtt {{
{username}  max_packet_size = {largest}
  # What is handed out unacknowledged is what a slow ingestor must hold; nothing is dropped by count while it is away.
  max_inflight = {in_flight}
  max_mqueue_len = infinity
  session_expiry_interval = 7d
}}
{authentication}authorization {{
  no_match = deny
  deny_action = ignore
  sources = [
    {{ type = file, enable = true, path = "{access}" }}
  ]
}}
"""
_VERIFY: Final = """\
    cacertfile = "{ca}"
    verify = verify_peer
    fail_if_no_peer_cert = true
"""
_AUTHENTICATION: Final = """\
authentication = [
  {{
    mechanism = password_based
    backend = built_in_database
    user_id_type = username
    password_hash_algorithm {{ name = sha256, salt_position = suffix }}
    # Read when the broker starts. Users that it has already keep their passwords.
    bootstrap_file = "{users}"
    bootstrap_type = plain
  }}
]
"""


def files(plan: BrokerPlan) -> Mapping[str, str]:
    """Text by file name."""
    tls = plan.tls
    users = plan.installed_at / USERS
    text = _TEXT.format(
        written_by=WRITTEN_BY,
        here=plan.installed_at / CONFIGURATION,
        bind=f"{bracketed(plan.host)}:{plan.port}",
        cert=tls.cert,
        key=tls.key,
        verify=_VERIFY.format(ca=tls.ca) if plan.by_certificate else "    verify = verify_none\n",
        username="  peer_cert_as_username = cn\n" if plan.by_certificate else "",
        largest=LARGEST_MESSAGE,
        in_flight=IN_FLIGHT,
        authentication="" if plan.by_certificate else _AUTHENTICATION.format(users=users),
        access=plan.installed_at / ACCESS,
    )
    written = {CONFIGURATION: text, ACCESS: _access_list(plan)}
    if not plan.by_certificate:
        lines = (f"{name},{password},false\n" for name, password in sorted(plan.passwords.items()))
        written[USERS] = "user_id,password,is_superuser\n" + "".join(lines)
    return written


def _access_list(plan: BrokerPlan) -> str:
    rules = [f"%% {WRITTEN_BY}"]
    for identity in plan.identities:
        for action, topics in (("publish", identity.publish), ("subscribe", identity.subscribe)):
            if topics:
                rules.append(f'{{allow, {{username, "{identity.name}"}}, {action}, {_list(topics)}}}.')
    return "\n".join([*rules, "{deny, all}."]) + "\n"


def _list(topics: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{topic}"' for topic in topics) + "]"
