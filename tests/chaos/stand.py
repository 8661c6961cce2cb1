"""Where chaos runs: a database server that many runs share, and for each run a broker, a network and our processes.

    edges ──▶ proxies ──▶ broker ◀── proxies ◀── two ingestors ──▶ proxies ──▶ database
                                                                               ▲  ▲
                    reader ──▶ proxy ──▶ API ──▶ proxy ────────────────────────┘  └─── proxy ◀── rule stage

Each process has a proxy of its own to whatever it speaks to, so that any line can be cut alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from builders import put_register
from chaos.actors import Actor
from chaos.material import FIRST, SCENARIO, SIMULATED_H, Material, Trace
from chaos.proxy import Proxy, network
from chaos.reader import Reader
from chaos.schedule import API, BROKER, DATABASE, EDGES, INGESTORS, LINKS, PROCESSES, READER, STAGE, Division
from fakes.disks import Disk, mount, unmount, why_no_small_disk
from services.brokers import ContainerBroker, ProcessBroker, own_broker
from services.databases import database
from stackwatch.local.folder import DataFolder, resolved
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.postgres import Postgres
from store.migrate import migrate
from store.pool import open_pool, transaction
from store.principals import create_token

ROOT: Final = "chaos/v1"
_DATABASE_MB: Final = 768
_OUTBOX_MB: Final = 40
_BROKER_MB: Final = 192
_SERVER: Final = {
    "max_wal_size": "96MB",
    "min_wal_size": "32MB",
    "shared_buffers": "64MB",
    "log_lock_waits": "on",
    "log_min_duration_statement": "500ms",
}


@dataclass
class Ground:
    """What runs share: a folder, ports, and a database server on a small disk."""

    folder: Path
    ports: Ports
    server: Postgres
    disk: Disk | None  #: of the server
    why_no_disks: str | None  #: why small disks cannot be had, where they cannot


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """A started database server; its data is deleted in the end."""
    why = why_no_small_disk()
    folder = resolved(Path(tempfile.mkdtemp(prefix="stackwatch-chaos-")))
    folder.chmod(0o711)
    with ExitStack() as resources:
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        place = folder / DATABASE
        place.mkdir()
        place.chmod(0o711)
        disk = _small_disk(place, _DATABASE_MB, resources) if why is None else None
        data = DataFolder(place / "data")
        resources.enter_context(data.locked())
        ports = resources.enter_context(Ports())
        server = Postgres.on(data, port=ports.take(27_432), settings=_SERVER)
        if data.postgres.is_symlink():
            resources.callback(shutil.rmtree, data.postgres.resolve(), ignore_errors=True)
        try:
            await server.start(lambda: None)
            yield Ground(folder, ports, server, disk, why)
        finally:
            if server.child is not None:
                await server.child.stop()


@dataclass
class Stand:
    """One run's processes and what is between them. Everything is started once it is entered."""

    folder: Path
    ground: Ground
    database_url: str
    broker: ProcessBroker | ContainerBroker
    actors: Mapping[str, Actor]
    proxies: Mapping[str, Proxy]
    disks: Mapping[str, Disk]
    reader: Reader

    def outbox(self, edge: str, site: str) -> Path:
        return self.folder / edge / "outbox" / f"{site}.{edge}.sqlite"


@asynccontextmanager
async def stand(
    on: Ground, seed: int, broker_kind: str, division: Division, material: Material
) -> AsyncIterator[Stand]:
    """Everything that the run of *seed* needs, and its end."""
    async with AsyncExitStack() as resources:
        folder = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=on.folder))
        os.chmod(folder, 0o711)
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        ports = resources.enter_context(Ports())
        url = resources.enter_context(database(on.server.url, f"chaos_{secrets.token_hex(4)}"))
        await migrate(url)
        async with open_pool(url, name="chaos") as pool:
            await put_register(pool, material.register)
            async with transaction(pool) as conn:
                token, _ = await create_token(conn, name="watcher", roles=["watch"])
        disks = _disks(on, folder, resources)
        broker = own_broker(broker_kind, folder / BROKER, ports)
        await broker.start()
        resources.callback(broker.kill)
        targets = {BROKER: _port(broker.url), DATABASE: _port(url), API: ports.take(28_000)}
        lines = {name: (ports.take(28_000), targets[name.partition("-")[2]]) for name in LINKS}
        proxies = resources.enter_context(network(lines))
        urls = {name: _through(proxies[f"{name}-{DATABASE}"], url) for name in (*INGESTORS, STAGE, API)}
        own = _divided(division, material) | {API: {"STACKWATCH_HTTP_PORT": str(targets[API])}}
        actors = _cast(folder, material, proxies, urls, own)
        for actor in actors.values():
            resources.push_async_callback(actor.stop)
        reader = Reader(f"http://{LOOPBACK}:{proxies[f'{READER}-{API}'].port}", token)
        yield Stand(folder, on, url, broker, actors, proxies, disks, reader)


def _disks(on: Ground, folder: Path, resources: AsyncExitStack) -> dict[str, Disk]:
    """The disks that can be filled, by whose they are."""
    places = {edge: folder / edge / "outbox" for edge in EDGES} | {BROKER: folder / BROKER}
    for place in places.values():
        place.mkdir(parents=True)
    if on.disk is None:
        return {}
    sizes = {**dict.fromkeys(EDGES[:2], _OUTBOX_MB), BROKER: _BROKER_MB}
    return {name: _small_disk(places[name], size, resources) for name, size in sizes.items()} | {DATABASE: on.disk}


def _small_disk(path: Path, size_mb: int, resources: ExitStack | AsyncExitStack) -> Disk:
    why = mount(path, size_mb)
    assert why is None, why
    resources.callback(unmount, path)
    return Disk(path)


def _cast(
    folder: Path,
    material: Material,
    proxies: Mapping[str, Proxy],
    database_urls: Mapping[str, str],
    own: Mapping[str, Mapping[str, str]],
) -> dict[str, Actor]:
    """Our processes, not started yet; *own* are settings that only one of them has."""
    key = folder / "orders.pem"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    commands: dict[str, list[str]] = {STAGE: ["alerts"], API: ["api"]} | {name: ["ingestor"] for name in INGESTORS}
    for edge, site in material.sites().items():
        traces = [trace for trace in material.traces if trace.edge == edge]
        if any(trace.simulated for trace in traces):
            commands[edge] = _simulating(folder, traces[0], material.seed)
        else:
            commands[edge] = ["edge", str(_agent_file(folder, edge, site, traces))]
    actors = {}
    for name in PROCESSES:
        environ = {"STACKWATCH_TOPIC_ROOT": ROOT, "STACKWATCH_LOG_LEVEL": "INFO"}
        if (to_broker := proxies.get(f"{name}-{BROKER}")) is not None:
            environ["STACKWATCH_MQTT_URL"] = f"mqtt://{LOOPBACK}:{to_broker.port}"
        if name in database_urls:
            environ["STACKWATCH_DATABASE_URL"] = database_urls[name]
            environ |= {"STACKWATCH_INGESTOR_ID": name, "STACKWATCH_TICK_S": "0.5"}
            environ["STACKWATCH_ORDER_KEY_FILE"] = str(key)
        environ |= own.get(name, {})
        actors[name] = Actor(name, commands[name], environ=environ, folder=folder, ends=name in EDGES)
    return actors


def _simulating(folder: Path, trace: Trace, seed: int) -> list[str]:
    """The command that makes the rows of *trace*."""
    return [
        *("simulate", SCENARIO, "--edge", trace.edge, "--seed", str(seed), "--speed", str(trace.speed)),
        *(
            "--from",
            FIRST.isoformat(),
            "--duration",
            f"{SIMULATED_H}h",
            "--outbox",
            str(folder / trace.edge / "outbox"),
        ),
    ]


def _divided(division: Division, material: Material) -> dict[str, dict[str, str]]:
    """What each ingestor is told beside the rest, so that they divide the work so."""
    if division is Division.ALL:
        return {}
    if division is Division.GROUP:
        return {name: {"STACKWATCH_INGESTOR_GROUP": "chaos"} for name in INGESTORS}
    sites = sorted(set(material.sites().values()))
    return {
        name: {"STACKWATCH_INGESTOR_SITES": ",".join(sites[number :: len(INGESTORS)])}
        for number, name in enumerate(INGESTORS)
    }


def _agent_file(folder: Path, edge: str, site: str, traces: Sequence[Trace]) -> Path:
    lines = [f'site = "{site}"', f'edge = "{edge}"']
    for trace in traces:
        trace.write(folder / edge)
        lines += ["[[trace]]", f'file = "{trace.name}"', f'stack = "{trace.stack}"', f"speed = {trace.speed}"]
        lines += [f'instrument = "{trace.instrument}"', f"interval_s = {trace.step_s}"]
    file = folder / edge / "agent.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@{LOOPBACK}:{proxy.port}").geturl()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
