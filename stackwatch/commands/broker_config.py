"""`broker-config`: listener, TLS and access list of a broker, written from the register."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from plant.errors import BadDocument, Fault, PlantError
from plant.packs import outlets_by_pack
from plant.register import parse_register
from plant.settings import Settings
from stackwatch.brokers import emqx, identities, mosquitto, nats
from stackwatch.brokers.plan import IN_FLIGHT, BrokerPlan, Cluster, Tls
from stackwatch.local import access, keys
from stackwatch.reach import reach
from store.pool import connect
from store.register import site_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A program we write for."""

    files: Callable[[BrokerPlan], Mapping[str, str]]
    store: str  #: where it keeps its data unless told otherwise
    apply: str  #: what makes a running one read a new list


BROKERS: Final[Mapping[str, Broker]] = {
    "mosquitto": Broker(
        files=mosquitto.files,
        store="/var/lib/mosquitto",
        apply="SIGHUP makes a running Mosquitto read the lists again; a new listener or certificate needs a restart",
    ),
    "nats": Broker(
        files=nats.files,
        store="/var/lib/nats",
        apply="`nats-server --signal reload` makes a running one read users and certificates again",
    ),
    "emqx": Broker(
        files=emqx.files,
        store="/var/lib/emqx",
        apply="restart EMQX node by node, or load the access list on its dashboard",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; paths of TLS, *store* and *installed_at* are those of the broker's machine."""

    out: Path
    edges: Sequence[str] = ()
    passwords: Path | None = None
    tls_cert: str
    tls_key: str
    tls_ca: str | None = None
    tls_crl: str | None = None
    host: str = "0.0.0.0"
    port: int = 8883
    installed_at: str | None = None
    store: str | None = None
    peers: Sequence[str] = ()
    cluster_port: int = 6222
    cluster_password: Path | None = None
    sites_per_ingestor: int | None = None


class CannotWrite(PlantError):
    """The folder for the files cannot be used."""


async def broker_config(
    broker: str,
    options: Options,
    *,
    register: Path | None,
    database_url: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    settings = reach(database_url=database_url, data=data, needs=() if register else ("database_url",))
    sites = _sites_of_file(register) if register else await _sites_of_database(settings)
    plan = plan_for(broker, options, sites, root=settings.topic_root)
    written = write(BROKERS[broker].files(plan), options.out)
    if as_json:
        print(json.dumps({"files": [str(path) for path in written], "identities": [i.name for i in plan.identities]}))
        return
    for path in written:
        print(f"wrote {path}")
    print(f"{len(sites)} sites and our own 2 processes are {len(plan.identities)} identities")
    print(BROKERS[broker].apply)


def plan_for(broker: str, options: Options, sites: Sequence[str], *, root: str) -> BrokerPlan:
    """What to write; `BadDocument` with every fault. Makes up passwords that are missing."""
    faults: list[Fault] = []
    if broker not in BROKERS:
        faults.append(Fault("", f"{broker!r} is no broker we write for; there are {', '.join(BROKERS)}"))
    if not sites:
        faults.append(Fault("register", "holds no site: there is nobody to let in"))
    try:
        access.subject(root)
    except ValueError as error:
        faults.append(Fault("STACKWATCH_TOPIC_ROOT", str(error)))
    edges = identities.edges_from(options.edges, set(sites), faults)
    tls = _tls(broker, options, faults)
    installed_at = _path("--installed-at", options.installed_at or str(options.out.absolute()), faults)
    store = _path("--store", options.store or (BROKERS[broker].store if broker in BROKERS else "/"), faults)
    everybody = identities.of_register(root, sites, edges)
    if options.passwords is None:
        faults += identities.too_long(everybody)
    if not options.host or any(not (c.isascii() and (c.isalnum() or c in ".:-")) for c in options.host):
        faults.append(Fault("--host", f"must be an address, got {options.host!r}"))
    in_flight = _in_flight(broker, options, faults)
    cluster = _cluster(broker, options, faults)
    if faults:
        raise BadDocument("broker configuration", faults)
    return BrokerPlan(
        root=root,
        identities=everybody,
        tls=tls,
        installed_at=installed_at,
        store=store,
        host=options.host,
        port=options.port,
        passwords={} if options.passwords is None else keys.passwords(options.passwords, [i.name for i in everybody]),
        in_flight=in_flight,
        cluster=cluster,
    )


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Put *files* into *folder*, each at once. They are the folder's owner's alone: make the folder the broker's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [_put(folder, name, text) for name, text in files.items()]
    except OSError as error:
        raise CannotWrite(f"{error.filename or folder}: {error.strerror}") from error


def _put(folder: Path, name: str, text: str) -> Path:
    draft, path = folder / f".{name}.new", folder / name
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            owner = folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    return path


def _tls(broker: str, options: Options, faults: list[Fault]) -> Tls:
    ca = None if options.tls_ca is None else _path("--tls-ca", options.tls_ca, faults)
    crl = None if options.tls_crl is None else _path("--tls-crl", options.tls_crl, faults)
    if options.passwords is None and ca is None:
        faults.append(Fault("--tls-ca", "is needed: it says whose client certificates count; or give --passwords FILE"))
    if crl is not None and (broker != "mosquitto" or options.passwords is not None):
        faults.append(Fault("--tls-crl", "only Mosquitto reads one, with client certificates"))
    return Tls(
        cert=_path("--tls-cert", options.tls_cert, faults),
        key=_path("--tls-key", options.tls_key, faults),
        ca=ca,
        crl=crl,
    )


def _in_flight(broker: str, options: Options, faults: list[Fault]) -> int:
    """NATS counts by subscription, and bounds the sum: an ingestor has one a site, and two for the rest."""
    sites = options.sites_per_ingestor
    if sites is None:
        return IN_FLIGHT
    if broker != "nats":
        faults.append(Fault("--sites-per-ingestor", "only NATS needs it; the others count a whole session"))
    return min(IN_FLIGHT, nats.MOST_UNACKNOWLEDGED // (sites + 2))


def _cluster(broker: str, options: Options, faults: list[Fault]) -> Cluster | None:
    if not options.peers:
        if options.cluster_password is not None:
            faults.append(Fault("--peer", "is needed of each node: --cluster-password is for a cluster"))
        return None
    if broker != "nats":
        faults.append(Fault("--peer", "only for NATS; EMQX has its own ways, and Mosquitto does not cluster"))
    if len(set(options.peers)) < nats.REPLICAS:
        faults.append(Fault("--peer", f"name at least {nats.REPLICAS} nodes: two of three are enough to go on"))
    for peer in options.peers:
        host, _, port = peer.rpartition(":")
        known = host and all(c.isascii() and (c.isalnum() or c in ".-_") for c in host)
        if not (known and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            faults.append(Fault("--peer", f"must look like HOST:PORT, got {peer!r}"))
    if options.cluster_password is None:
        faults.append(Fault("--cluster-password", "is needed: a file with what nodes show each other, made if missing"))
    if options.tls_ca is None:
        faults.append(Fault("--tls-ca", "is needed: nodes of a cluster check each other's certificate"))
    if faults or options.cluster_password is None:
        return None
    return Cluster(
        peers=tuple(dict.fromkeys(options.peers)),
        port=options.cluster_port,
        password=keys.password(options.cluster_password),
    )


def _path(option: str, text: str, faults: list[Fault]) -> PurePosixPath:
    """A path on the broker's machine, which need not be this one: it is not looked at."""
    path = PurePosixPath(text)
    if not path.is_absolute() or any(not c.isprintable() or c in "\"'\\$" for c in text):
        faults.append(Fault(option, f"must be an absolute path without quotes, got {text!r}"))
    return path


def _sites_of_file(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(str(file), [Fault("", f"cannot be read: {error}")]) from error
    return [site.code for site in parse_register(text, str(file), packs=outlets_by_pack()).sites]


async def _sites_of_database(settings: Settings) -> list[str]:
    async with await connect(settings.database_url, name="broker-config", autocommit=True) as conn:
        return await site_codes(conn)
