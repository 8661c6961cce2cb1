"""Three nats-server processes as one broker, each with the files that `broker-config nats` writes for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fakes.certificates import Authority
from fakes.polling import until
from plant import topics
from plant.settings import Settings
from services.waiting import wait_until
from stackwatch.brokers.nats import CONFIGURATION, NODE_NAME
from stackwatch.commands.broker_config import BROKERS, Options, plan_for, write
from stackwatch.local import binaries
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.processes import Child, Command, last_words, spawn

NAMES: Final = ("nats-0", "nats-1", "nats-2")
HOST: Final = "localhost"
MESSAGES: Final = "$MQTT_msgs"  #: the stream that holds what edges publish
DEADLINE_S: Final = 90.0


@dataclass(slots=True)
class Node:
    name: str
    port: int
    monitor: int  #: what it tells of itself over HTTP
    store: Path
    command: Command
    child: Child | None = None

    @property
    def runs(self) -> bool:
        return self.child is not None

    def start(self) -> None:
        self.child = spawn(self.command)

    def kill(self) -> None:
        """End it as a crash would; its disk stays."""
        child, self.child = self.child, None
        if child is not None:
            child.kill()
            assert wait_until(lambda: child.exit_code is not None, 20.0)

    def lose_disk(self) -> None:
        assert not self.runs
        shutil.rmtree(self.store)
        self.store.mkdir()

    def asked(self, path: str) -> Any:
        """What it answers, None while it does not."""
        assert self.child is None or self.child.exit_code is None, last_words(self.command)
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.monitor}{path}", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def groups(self) -> dict[str, Any]:
        """What it knows of those that keep each stream, and each reader of a stream."""
        told = self.asked("/jsz?streams=true&consumers=true") or {}
        found = {}
        for account in told.get("account_details", ()):
            for stream in account.get("stream_detail", ()):
                for one in (stream, *stream.get("consumer_detail", ())):
                    if "raft_group" in one.get("cluster", {}):  # else it is a node's own and kept once
                        found[one["name"]] = one["cluster"]
        return found


@dataclass(slots=True)
class NatsCluster:
    authority: Authority
    nodes: Sequence[Node]

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    @property
    def running(self) -> Iterator[Node]:
        return (node for node in self.nodes if node.runs)

    def settings(self, identity: str, first: str = NAMES[0]) -> dict[str, str]:
        """How *identity* reaches it: by every node, *first* before the others."""
        at = NAMES.index(first)
        places = [f"{HOST}:{self[name].port}" for name in (*NAMES[at:], *NAMES[:at])]
        certificate, key = self.authority.client(identity)
        return {
            "mqtt_url": f"mqtts://{','.join(places)}",
            "mqtt_ca_file": str(self.authority.ca),
            "mqtt_cert_file": str(certificate),
            "mqtt_key_file": str(key),
            "topic_root": topics.DEFAULT_ROOT,
        }

    def edge(self, site: str) -> Settings:
        return Settings(**self.settings(site))  # type: ignore[arg-type]

    def leader(self, stream: str = MESSAGES) -> str | None:
        """The node that leads *stream*, as those that run agree; None while they elect one."""
        said = {str(node.groups().get(stream, {}).get("leader")) for node in self.running}
        return said.pop() if len(said) == 1 and said <= set(NAMES) else None

    async def led(self, stream: str = MESSAGES) -> str:
        """The node that leads *stream*, which there is before long."""
        found: list[str] = []

        def known() -> bool:
            found.append(self.leader(stream) or "")
            return bool(found[-1])

        await until(known, DEADLINE_S)
        return found[-1]

    async def whole(self) -> None:
        """Return when every node keeps an up-to-date copy of everything."""
        await until(self._is_whole, DEADLINE_S)

    def _is_whole(self) -> bool:
        told = {node.name: node.groups() for node in self.nodes}
        names = {name for groups in told.values() for name in groups}
        return MESSAGES in names and all(_is_kept_by_all(name, told) for name in names)


def _is_kept_by_all(name: str, told: Mapping[str, Mapping[str, Any]]) -> bool:
    """Only its leader knows how far the others are."""
    leaders = {groups.get(name, {}).get("leader") for groups in told.values()}
    leader = leaders.pop()
    if leaders or leader not in told:
        return False
    others = told[leader][name].get("replicas", [])
    return len(others) == len(told) - 1 and all(one["current"] and not one.get("offline") for one in others)


@asynccontextmanager
async def nats_cluster(folder: Path, sites: Sequence[str], **options: Any) -> AsyncIterator[NatsCluster]:
    """A cluster that has just elected its leader."""
    with Ports() as ports:
        cluster = _prepared(folder, sites, ports, options)
        try:
            for node in cluster.nodes:
                node.start()
            await until(lambda: all(_knows_a_leader(node) for node in cluster.nodes), DEADLINE_S)
            yield cluster
        finally:
            await asyncio.gather(*(node.child.stop() for node in cluster.nodes if node.child is not None))


def _knows_a_leader(node: Node) -> bool:
    told = node.asked("/jsz") or {}
    meta = told.get("meta_cluster", {})
    return bool(meta.get("leader")) and meta.get("cluster_size") == len(NAMES)


def _prepared(folder: Path, sites: Sequence[str], ports: Ports, options: dict[str, Any]) -> NatsCluster:
    authority = Authority(folder / "tls")
    certificate, key = authority.server()
    towards_each_other = {name: ports.take(26_222) for name in NAMES}
    nodes = []
    for name in NAMES:
        home, port, monitor = folder / name, ports.take(28_883), ports.take(28_222)
        (home / "store").mkdir(parents=True)
        plan = plan_for(
            "nats",
            Options(
                out=home / "out",
                tls_cert=str(certificate),
                tls_key=str(key),
                tls_ca=str(authority.ca),
                host=LOOPBACK,
                port=port,
                store=str(home / "store"),
                peers=[f"{HOST}:{one}" for one in towards_each_other.values()],
                cluster_port=towards_each_other[name],
                cluster_password=folder / "cluster-password",
                **options,
            ),
            sites,
            root=topics.DEFAULT_ROOT,
        )
        write(BROKERS["nats"].files(plan), home / "out")
        program = str(binaries.nats_server())
        command = Command(
            name=name,
            argv=[program, "-c", str(home / "out" / CONFIGURATION), "-m", str(monitor)],
            log=folder / f"{name}.log",
            cwd=home,
            environ={"PATH": os.defpath, "HOME": str(home), NODE_NAME: name},
        )
        nodes.append(Node(name, port, monitor, home / "store", command))
    return NatsCluster(authority, nodes)
