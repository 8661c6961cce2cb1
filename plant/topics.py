"""The grammar of MQTT topics: `{root}/{site}/{edge}/{kind}` (contract, section 3).

The topic says who speaks; the broker's access list keeps it honest, and a payload is never believed
about it. A level holds no dot: one supported broker maps levels to dotted subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plant.errors import Undecodable
from plant.identifiers import is_identifier

DEFAULT_ROOT: Final = "ule/v1"

DATA: Final = "data"
RECEIPT: Final = "receipt"
STATE: Final = "state"
ORDER_ACK: Final = "order-ack"
ORDERS: Final = "orders"
SHOWN: Final = 200  #: characters of a topic that a message repeats; a broker may carry 65,535
FROM_EDGES: Final = frozenset({DATA, STATE, ORDER_ACK})


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who published: a site's edge, and what kind of message it is."""

    site: str
    edge: str
    kind: str


def parse(root: str, topic: str) -> Speaker:
    """The speaker of *topic*; `Undecodable` where the topic is none that an edge may publish."""
    prefix = f"{root}/"
    levels = topic[len(prefix) :].split("/") if topic.startswith(prefix) else []
    shown = topic if len(topic) <= SHOWN else f"{topic[:SHOWN]}..."
    if len(levels) != 3 or levels[2] not in FROM_EDGES:
        raise Undecodable(f"topic {shown!r} is not {root}/SITE/EDGE/(data|state|order-ack)")
    site, edge, kind = levels
    for what, name in (("site", site), ("edge", edge)):
        if not is_identifier(name):
            raise Undecodable(f"topic {shown!r}: {what} does not match [A-Za-z0-9_-]{{1,64}}")
    return Speaker(site, edge, kind)


def data(root: str, site: str, edge: str) -> str:
    return f"{root}/{site}/{edge}/{DATA}"


def receipt(root: str, site: str, edge: str) -> str:
    return f"{root}/{site}/{edge}/{RECEIPT}"


def state(root: str, site: str, edge: str) -> str:
    return f"{root}/{site}/{edge}/{STATE}"


def order_ack(root: str, site: str, edge: str) -> str:
    return f"{root}/{site}/{edge}/{ORDER_ACK}"


def orders(root: str, site: str) -> str:
    return f"{root}/{site}/{ORDERS}"


def subscriptions(root: str) -> tuple[str, ...]:
    """What an ingestor listens to: everything that edges may publish, at every site."""
    return tuple(f"{root}/+/+/{kind}" for kind in sorted(FROM_EDGES))
