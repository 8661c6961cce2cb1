"""Who speaks on a broker, and about what: least privilege as MQTT filters (contract, section 3).

A site is one identity, unless its edges are named: then each of them is one and the site itself is none. The name is
the common name of a client certificate or the user of a password, so it holds no character that a certificate, a
password file or an address would have to quote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from plant import topics
from plant.errors import Fault
from plant.identifiers import is_identifier

#: Two dots keep them apart from every `SITE` and every `SITE.EDGE`: identifiers hold none.
INGESTOR: Final = "stackwatch.system.ingestor"
DELIVERER: Final = "stackwatch.system.deliverer"

ANY_EDGE: Final = "+"
LONGEST_COMMON_NAME: Final = 64  #: RFC 5280, ub-common-name


@dataclass(frozen=True, slots=True)
class Identity:
    """A name that a broker knows, and the MQTT filters it is let near."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def of_processes(root: str) -> tuple[Identity, ...]:
    """Our own processes: the ingestor, and the alerts process that delivers orders."""
    return (
        Identity(
            INGESTOR,
            publish=(topics.receipt(root, "+", ANY_EDGE),),
            subscribe=topics.subscriptions(root),
        ),
        Identity(DELIVERER, publish=(topics.orders(root, "+"),), subscribe=()),
    )


def of_site(root: str, site: str, edge: str = ANY_EDGE) -> Identity:
    """An edge of *site*, or whatever edge the site runs."""
    return Identity(
        site if edge == ANY_EDGE else f"{site}.{edge}",
        publish=tuple(f"{root}/{site}/{edge}/{kind}" for kind in sorted(topics.FROM_EDGES)),
        subscribe=(topics.receipt(root, site, edge), topics.orders(root, site)),
    )


def of_register(root: str, sites: Iterable[str], edges: Collection[tuple[str, str]] = ()) -> tuple[Identity, ...]:
    """Everybody: our processes, then the sites in order, each as a whole or by its named *edges*."""
    found = list(of_processes(root))
    for site in sorted(sites):
        named = sorted(edge for at, edge in edges if at == site)
        found += [of_site(root, site, edge) for edge in named] if named else [of_site(root, site)]
    return tuple(found)


def edges_from(names: Sequence[str], sites: Collection[str], faults: list[Fault]) -> list[tuple[str, str]]:
    """The (site, edge) that *names*, each `SITE.EDGE`, mean; what is wrong with them goes to *faults*."""
    found = []
    for name in dict.fromkeys(names):
        site, _, edge = name.partition(".")
        if not (is_identifier(site) and is_identifier(edge)):
            faults.append(Fault("--edge", f"must look like SITE.EDGE, got {name!r}"))
        elif site not in sites:
            faults.append(Fault("--edge", f"{name!r}: no site {site!r} is registered"))
        else:
            found.append((site, edge))
    return found


def too_long(identities: Iterable[Identity]) -> list[Fault]:
    """The identities that no certificate can carry."""
    return [
        Fault("register", f"{one.name!r} has {len(one.name)} characters; a common name has at most 64: use --passwords")
        for one in identities
        if len(one.name) > LONGEST_COMMON_NAME
    ]
