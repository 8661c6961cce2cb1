"""nats-server 2.10 and later as an MQTT broker: one file. The permissions are those of the embedded broker.

With certificates it looks a client up by the whole subject, so the subject must be the common name and nothing else.
In a cluster each message, session and retained message is kept by three nodes, and two of them are enough to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackwatch.brokers.plan import LARGEST_MESSAGE, WRITTEN_BY, BrokerPlan, Cluster, Tls, bracketed
from stackwatch.local import access

CONFIGURATION: Final = "nats.conf"
NODE_NAME: Final = "NODE_NAME"  #: variable of the environment of a node of a cluster
REPLICAS: Final = 3
MOST_UNACKNOWLEDGED: Final = 65_535  #: of all subscriptions of a session together

_TEXT: Final = """\
# {written_by}
server_name: {name}
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
{replicas}}}
{cluster}{authorization}
"""
_CLUSTER: Final = """cluster {{
  name: stackwatch
  listen: "{listen}"
  # Both ends of a route show this certificate, and this password: every edge has a certificate of the same authority.
  tls {{
    cert_file: "{cert}"
    key_file: "{key}"
    ca_file: "{ca}"
    timeout: 10
  }}
  authorization {{ user: stackwatch, password: "{password}", timeout: 10 }}
  routes: [
{routes}  ]
}}
"""


def files(plan: BrokerPlan) -> Mapping[str, str]:
    """Text by file name."""
    tls = plan.tls
    verify = f'    ca_file: "{tls.ca}"\n    verify_and_map: true\n' if plan.by_certificate else ""
    cluster = plan.cluster
    text = _TEXT.format(
        name="stackwatch" if cluster is None else f"${NODE_NAME}",
        replicas="" if cluster is None else f"  stream_replicas: {REPLICAS}\n",
        cluster="" if cluster is None else _cluster(plan.host, cluster, tls),
        written_by=WRITTEN_BY,
        largest=LARGEST_MESSAGE,
        store=plan.store,
        listen=f"{bracketed(plan.host)}:{plan.port}",
        cert=tls.cert,
        key=tls.key,
        verify=verify,
        in_flight=plan.in_flight,
        authorization=access.authorization(_users(plan)),
    )
    return {CONFIGURATION: text}


def _cluster(host: str, cluster: Cluster, tls: Tls) -> str:
    routes = (f'    "nats-route://stackwatch:{cluster.password}@{peer}"\n' for peer in cluster.peers)
    return _CLUSTER.format(
        listen=f"{bracketed(host)}:{cluster.port}",
        cert=tls.cert,
        key=tls.key,
        ca=tls.ca,
        password=cluster.password,
        routes="".join(routes),
    )


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
