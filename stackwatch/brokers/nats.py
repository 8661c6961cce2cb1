"""nats-server 2.10 and later as an MQTT broker: one file. The permissions are those of the embedded broker.

With certificates it looks a client up by the whole subject, so the subject must be the common name and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackwatch.brokers.plan import IN_FLIGHT, LARGEST_MESSAGE, WRITTEN_BY, BrokerPlan, bracketed
from stackwatch.local import access

CONFIGURATION: Final = "nats.conf"

_TEXT: Final = """\
# {written_by}
server_name: stackwatch
# Its own protocol is needed inside only: any free port, and no user below may speak it.
host: "127.0.0.1"
port: -1
max_payload: {largest}
jetstream {{
  store_dir: "{store}"
}}
mqtt {{
  listen: "{listen}"
  tls {{
    cert_file: "{cert}"
    key_file: "{key}"
{verify}    timeout: 10
  }}
  # A message that an ingestor did not acknowledge comes again after this long.
  ack_wait: "10s"
  # What the broker hands out unacknowledged is what a slow ingestor must hold.
  max_ack_pending: {in_flight}
}}
{authorization}
"""


def files(plan: BrokerPlan) -> Mapping[str, str]:
    """Text by file name."""
    tls = plan.tls
    verify = f'    ca_file: "{tls.ca}"\n    verify_and_map: true\n' if plan.by_certificate else ""
    text = _TEXT.format(
        written_by=WRITTEN_BY,
        largest=LARGEST_MESSAGE,
        store=plan.store,
        listen=f"{bracketed(plan.host)}:{plan.port}",
        cert=tls.cert,
        key=tls.key,
        verify=verify,
        in_flight=IN_FLIGHT,
        authorization=access.authorization(_users(plan)),
    )
    return {CONFIGURATION: text}


def _users(plan: BrokerPlan) -> list[str]:
    return [
        access.user(
            f"CN={identity.name}" if plan.by_certificate else identity.name,
            None if plan.by_certificate else plan.passwords[identity.name],
            publish=identity.publish,
            subscribe=identity.subscribe,
        )
        for identity in plan.identities
    ]
