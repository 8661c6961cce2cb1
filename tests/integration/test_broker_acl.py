"""Real brokers started with what `broker-config` wrote: who is let in, and whom they hear and are heard by.

A broker of MQTT 3.1.1 acknowledges a publication that it denies, and some grant a subscription that stays silent. So
what is asserted is what somebody receives who may, after a message sent later on the same connection has arrived.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from alerts.enforcement.commands import act
from alerts.enforcement.opening import open_case_for_month
from alerts.enforcement.signing import load_signer
from alerts.outgoing import deliver
from case_builders import ALL_AGENCY, NOW, a_works, an_alert, one
from edge.agent import open_edge
from fakes.certificates import Authority
from ingestor.serve import serve
from plant import topics
from plant.settings import Settings
from services.brokers import MOSQUITTO, NATS
from services.offers import apt_install, find_program, root_of_debian
from services.waiting import wait_until
from stackwatch.brokers.identities import DELIVERER, INGESTOR
from stackwatch.brokers.plan import BrokerPlan
from stackwatch.commands.broker_config import BROKERS, Options, plan_for, write
from stackwatch.local import binaries
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.processes import Child, Command, last_words, spawn
from store.pool import connect, open_pool

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        find_program(MOSQUITTO) is None and not root_of_debian(),
        reason="no Mosquitto on this machine, and not root on a Debian",
    ),
]

ROOT: Final = topics.DEFAULT_ROOT
SITES: Final = ("alpha", "beta", "works")
DEADLINE_S: Final = 20.0
HOST: Final = "localhost"


@dataclass
class Started:
    """A running broker with the files that it was given."""

    kind: str
    folder: Path
    port: int
    authority: Authority
    plan: BrokerPlan
    child: Child

    def settings(self, identity: str, **others: Any) -> Settings:
        """How our own processes and edges reach it as *identity*."""
        if not self.plan.by_certificate:
            login = f"{identity}:{self.plan.passwords[identity]}@"
            return Settings(
                mqtt_url=f"mqtts://{login}{HOST}:{self.port}", mqtt_ca_file=str(self.authority.ca), **others
            )
        certificate, key = self.authority.client(identity)
        return Settings(
            mqtt_url=f"mqtts://{HOST}:{self.port}",
            mqtt_ca_file=str(self.authority.ca),
            mqtt_cert_file=str(certificate),
            mqtt_key_file=str(key),
            **others,
        )


class Client:
    """A plain MQTT client whose waits end."""

    def __init__(
        self, broker: Started, identity: str, *, will: tuple[str, bytes] | None = None, name: str = ""
    ) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._connected: bool | None = None
        self._answered: set[int] = set()
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        if broker.plan.by_certificate:
            certificate, key = broker.authority.client(identity)
            client.tls_set(str(broker.authority.ca), str(certificate), str(key))
            if name:
                client.username_pw_set(name, "")
        else:
            client.tls_set(str(broker.authority.ca))
            client.username_pw_set(name or identity, broker.plan.passwords.get(identity, "guess"))
        if will is not None:
            client.will_set(*will, qos=1)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self._note(connected=False)
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.connect(HOST, broker.port)
        client.loop_start()
        self._until(lambda: self._connected is not None)
        self.let_in = bool(self._connected)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def vanish(self) -> None:
        """Lose the connection without a word, so that the will is published."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        sock.close()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE_S)

    def subscribe(self, *filters: str) -> None:
        for one_filter in filters:
            _, number = self._client.subscribe(one_filter, qos=1)
            assert number is not None
            self._until(lambda number=number: number in self._answered)  # type: ignore[misc]

    def until_received(self, topic: str, payload: bytes) -> None:
        self._until(lambda: (topic, payload) in self.received)

    def _until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), self.received

    def _note(self, *, connected: bool) -> None:
        with self._changed:
            self._connected = connected
            self._changed.notify_all()

    def _on_connect(self, _: object, __: object, ___: object, code: ReasonCode, ____: object) -> None:
        self._note(connected=not code.is_failure)

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.received.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def _on_subscribe(self, _: object, __: object, number: int, *___: object) -> None:
        with self._changed:
            self._answered.add(number)
            self._changed.notify_all()


def program(kind: str) -> str:
    if kind == NATS:
        return str(binaries.nats_server())
    if find_program(MOSQUITTO) is None and root_of_debian():
        apt_install(MOSQUITTO)
    return str(find_program(MOSQUITTO))


def options_for(kind: str, folder: Path, port: int, authority: Authority, *, by_certificate: bool) -> Options:
    certificate, key = authority.server()
    return Options(
        out=folder,
        edges=["beta.e1", "beta.e2"],
        passwords=None if by_certificate else folder.parent / "passwords.json",
        tls_cert=str(certificate),
        tls_key=str(key),
        tls_ca=str(authority.ca) if by_certificate else None,
        host=LOOPBACK,
        port=port,
        store=str(folder.parent / "store"),
    )


def write_files(kind: str, options: Options, sites: Sequence[str]) -> BrokerPlan:
    plan = plan_for(kind, options, sites, root=ROOT)
    written = write(BROKERS[kind].files(plan), options.out)
    if kind == MOSQUITTO and os.geteuid() == 0:
        with written[0].open("a") as file:  # else it changes to a user who cannot reach the folder of a test
            file.write(f"user {getpass.getuser()}\n")
    return plan


@pytest.fixture(params=[f"{kind}-{by}" for kind in (MOSQUITTO, NATS) for by in ("certificates", "passwords")])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    kind, by = str(request.param).split("-")
    with starting(kind, tmp_path, by_certificate=by == "certificates") as started:
        yield started


@pytest.fixture(params=[MOSQUITTO, NATS])
def certified(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    """A broker that asks for certificates."""
    with starting(str(request.param), tmp_path, by_certificate=True) as started:
        yield started


@contextmanager
def starting(kind: str, path: Path, *, by_certificate: bool) -> Iterator[Started]:
    command = command_of(kind, path)
    authority = Authority(path / "tls")
    (path / "store").mkdir()
    with Ports() as ports:
        port = ports.take(28_883)
        plan = write_files(kind, options_for(kind, path / "out", port, authority, by_certificate=by_certificate), SITES)
        started = Started(kind, path / "out", port, authority, plan, spawn(command))
        try:
            assert wait_until(lambda: answers(started), DEADLINE_S), last_words(command)
            yield started
        finally:
            asyncio.run(started.child.stop())


def command_of(kind: str, path: Path) -> Command:
    """The broker on the files in the folder `out` of *path*."""
    argv = [program(kind), "-c", str(path / "out" / ("mosquitto.conf" if kind == MOSQUITTO else "nats.conf"))]
    environ = {"PATH": os.defpath, "HOME": str(path)}
    return Command(name=kind, argv=argv, log=path / f"{kind}.log", cwd=path, environ=environ)


def answers(broker: Started) -> bool:
    assert broker.child.exit_code is None, last_words(broker.child.command)
    try:
        client = Client(broker, INGESTOR)
    except OSError:
        return False
    client.close()
    return client.let_in


@contextmanager
def clients(broker: Started, *names: str) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        made = []
        for name in names:
            made.append(Client(broker, name))
            stack.callback(made[-1].close)
            assert made[-1].let_in, name
        yield made


def test_an_edge_is_heard_under_its_own_topics_only(broker: Started) -> None:
    with clients(broker, INGESTOR, "alpha", "beta.e1") as (ingestor, alpha, beta):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        beta.subscribe(topics.receipt(ROOT, "beta", "e1"), topics.orders(ROOT, "beta"))
        for topic in (topics.data, topics.state, topics.order_ack):
            alpha.publish(topic(ROOT, "beta", "e1"), b"forged")
        for foreign in (topics.orders(ROOT, "beta"), topics.receipt(ROOT, "beta", "e1"), topics.orders(ROOT, "alpha")):
            alpha.publish(foreign, b"forged", retain=True)
        own = [topic(ROOT, "alpha", "e7") for topic in (topics.data, topics.state, topics.order_ack)]
        for topic_name in own:
            alpha.publish(topic_name, b"own")
        for topic_name in own:
            ingestor.until_received(topic_name, b"own")
        ingestor.publish(topics.receipt(ROOT, "beta", "e1"), b"true")
        beta.until_received(topics.receipt(ROOT, "beta", "e1"), b"true")
        assert sorted(ingestor.received) == sorted((name, b"own") for name in own)
        assert beta.received == [(topics.receipt(ROOT, "beta", "e1"), b"true")]


def test_an_edge_hears_its_own_receipts_and_orders_only(broker: Started) -> None:
    with clients(broker, INGESTOR, DELIVERER, "beta.e1", "alpha") as (ingestor, deliverer, beta, alpha):
        ingestor.publish(topics.receipt(ROOT, "beta", "e1"), b"before", retain=True)
        alpha.subscribe(f"{ROOT}/alpha/+/receipt", topics.orders(ROOT, "alpha"))
        alpha.subscribe("#", f"{ROOT}/#", f"{ROOT}/+/+/data", f"{ROOT}/+/orders", f"{ROOT}/beta/+/receipt")
        if broker.plan.by_certificate or broker.kind == MOSQUITTO:
            alpha.subscribe("$SYS/#")
        beta.publish(topics.data(ROOT, "beta", "e1"), b"of beta")
        ingestor.publish(topics.receipt(ROOT, "beta", "e1"), b"for beta")
        deliverer.publish(topics.orders(ROOT, "beta"), b"for beta")
        ingestor.publish(topics.receipt(ROOT, "alpha", "e7"), b"receipt")
        deliverer.publish(topics.orders(ROOT, "alpha"), b"orders")
        alpha.until_received(topics.receipt(ROOT, "alpha", "e7"), b"receipt")
        alpha.until_received(topics.orders(ROOT, "alpha"), b"orders")
        assert {payload for _, payload in alpha.received} == {b"receipt", b"orders"}


def test_a_named_edge_is_not_its_neighbour(broker: Started) -> None:
    with clients(broker, INGESTOR, DELIVERER, "beta.e1") as (ingestor, deliverer, e1):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        e1.subscribe(*(topics.receipt(ROOT, "beta", edge) for edge in ("e1", "e2")), topics.orders(ROOT, "beta"))
        e1.subscribe(f"{ROOT}/beta/+/receipt")
        e1.publish(topics.data(ROOT, "beta", "e2"), b"forged")
        e1.publish(topics.data(ROOT, "beta", "e1"), b"own")
        ingestor.until_received(topics.data(ROOT, "beta", "e1"), b"own")
        ingestor.publish(topics.receipt(ROOT, "beta", "e2"), b"for e2")
        ingestor.publish(topics.receipt(ROOT, "beta", "e1"), b"for e1")
        deliverer.publish(topics.orders(ROOT, "beta"), b"orders")
        e1.until_received(topics.receipt(ROOT, "beta", "e1"), b"for e1")
        e1.until_received(topics.orders(ROOT, "beta"), b"orders")
        assert [payload for _, payload in ingestor.received] == [b"own"]
        assert {payload for _, payload in e1.received} == {b"for e1", b"orders"}


def test_a_last_will_cannot_speak_for_another_site(broker: Started) -> None:
    with clients(broker, INGESTOR) as (ingestor,):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        for site in ("works", "alpha"):
            edge = Client(broker, "alpha", will=(topics.state(ROOT, site, "e7"), b"gone"))
            if edge.let_in:  # a broker may refuse such a will at once
                edge.vanish()
        ingestor.until_received(topics.state(ROOT, "alpha", "e7"), b"gone")
        assert ingestor.received == [(topics.state(ROOT, "alpha", "e7"), b"gone")]


def test_our_own_processes_may_do_their_own_work_only(broker: Started) -> None:
    with clients(broker, INGESTOR, DELIVERER, "alpha") as (ingestor, deliverer, alpha):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        alpha.subscribe(f"{ROOT}/alpha/+/receipt", topics.orders(ROOT, "alpha"))
        deliverer.publish(topics.data(ROOT, "alpha", "e7"), b"forged")
        deliverer.publish(topics.receipt(ROOT, "alpha", "e7"), b"forged")
        ingestor.publish(topics.orders(ROOT, "alpha"), b"forged")
        deliverer.publish(topics.orders(ROOT, "alpha"), b"orders")
        ingestor.publish(topics.receipt(ROOT, "alpha", "e7"), b"receipt")
        alpha.publish(topics.data(ROOT, "alpha", "e7"), b"own")
        ingestor.until_received(topics.data(ROOT, "alpha", "e7"), b"own")
        alpha.until_received(topics.orders(ROOT, "alpha"), b"orders")
        alpha.until_received(topics.receipt(ROOT, "alpha", "e7"), b"receipt")
        assert {payload for _, payload in (*ingestor.received, *alpha.received)} == {b"own", b"orders", b"receipt"}


def test_nobody_is_let_in_without_a_certificate_of_our_authority(certified: Started, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "another authority")
    for certificate, key in ((None, None), other.client("alpha")):
        client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.tls_set(
            str(certified.authority.ca),
            None if certificate is None else str(certificate),
            None if key is None else str(key),
        )
        assert not lets_in(client, certified.port)
    assert not lets_in(paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False), certified.port)


def lets_in(client: paho.Client, port: int) -> bool:
    """Whether the broker accepts *client*; TLS 1.3 tells a client only after its handshake that it is refused."""
    answered = threading.Event()
    accepted: list[bool] = []

    def on_connect(_: object, __: object, ___: object, code: ReasonCode, ____: object) -> None:
        accepted.append(not code.is_failure)
        answered.set()

    client.on_connect = on_connect
    client.on_disconnect = lambda *_: answered.set()
    try:
        client.connect(HOST, port)
    except (OSError, ssl.SSLError):
        return False
    client.loop_start()
    assert answered.wait(DEADLINE_S)
    client.disconnect()
    client.loop_stop()
    return accepted == [True]


def test_what_the_script_signs_is_let_in_until_it_is_revoked(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "deploy" / "certificates.sh"
    tls = tmp_path / "tls"

    def run(*arguments: str) -> None:
        subprocess.run([script, tls, *arguments], check=True, capture_output=True, timeout=60)

    def lets_alpha_in(kind: str, *, crl: Path | None = None) -> bool:
        with Ports() as ports:
            options = Options(
                out=tmp_path / "out",
                tls_cert=str(tls / "broker.crt"),
                tls_key=str(tls / "broker.key"),
                tls_ca=str(tls / "ca.crt"),
                tls_crl=None if crl is None else str(crl),
                host=LOOPBACK,
                port=ports.take(28_883),
                store=str(tmp_path / "store"),
            )
            write_files(kind, options, SITES)
            (tmp_path / "store").mkdir(exist_ok=True)
            child = spawn(command_of(kind, tmp_path))
            try:
                ingestor = [tls / f"{INGESTOR}.{end}" for end in ("crt", "key")]
                known = wait_until(lambda: lets_in(tls_client(tls, *ingestor), options.port), DEADLINE_S)
                assert known, last_words(child.command)
                return lets_in(tls_client(tls, tmp_path / "alpha.crt", tmp_path / "alpha.key"), options.port)
            finally:
                asyncio.run(child.stop())

    run("ca")
    run("server", HOST, LOOPBACK)
    run("client", INGESTOR, "alpha")
    for end in ("crt", "key"):
        shutil.copy(tls / f"alpha.{end}", tmp_path / f"alpha.{end}")  # what a thief has
    assert lets_alpha_in(NATS)
    assert lets_alpha_in(MOSQUITTO)
    run("revoke", "alpha")
    assert lets_alpha_in(MOSQUITTO)  # nobody told the broker
    assert not lets_alpha_in(MOSQUITTO, crl=tls / "ca.crl")


def tls_client(authority: Path, certificate: Path, key: Path) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.tls_set(str(authority / "ca.crt"), str(certificate), str(key))
    return client


def test_nobody_is_let_in_with_a_wrong_password(tmp_path: Path) -> None:
    for kind in (MOSQUITTO, NATS):
        (tmp_path / kind).mkdir()
        with starting(kind, tmp_path / kind, by_certificate=False) as broker:
            assert broker.plan.passwords["alpha"] != broker.plan.passwords["works"]
            for identity, name in (("works", "alpha"), ("nobody", "alpha"), ("nobody", "nobody"), ("alpha", INGESTOR)):
                client = Client(broker, identity, name=name)
                assert not client.let_in, (kind, identity, name)
                client.close()


def test_the_certificate_says_who_speaks_whatever_name_is_given(certified: Started) -> None:
    with clients(certified, INGESTOR) as (ingestor,):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        for name in ("works", "CN=works", INGESTOR, f"CN={INGESTOR}"):
            liar = Client(certified, "alpha", name=name)
            if liar.let_in:
                liar.publish(topics.data(ROOT, "works", "e7"), b"forged")
            liar.close()
        stranger = Client(certified, "unregistered")
        if stranger.let_in:
            stranger.publish(topics.data(ROOT, "unregistered", "e7"), b"forged")
        stranger.close()
        with clients(certified, "alpha") as (alpha,):
            alpha.publish(topics.data(ROOT, "alpha", "e7"), b"own")
            ingestor.until_received(topics.data(ROOT, "alpha", "e7"), b"own")
        assert [payload for _, payload in ingestor.received] == [b"own"]


def test_a_new_site_is_heard_and_a_removed_one_is_not_without_a_restart(certified: Started) -> None:
    options = options_for(certified.kind, certified.folder, certified.port, certified.authority, by_certificate=True)
    with clients(certified, INGESTOR) as (ingestor,):
        ingestor.subscribe(*topics.subscriptions(ROOT))
        write_files(certified.kind, options, ("beta", "gamma", "works"))
        os.kill(certified.child.identity.pid, signal.SIGHUP)

        def heard() -> bool:
            """Broker and certificate say nothing when the list was read: ask until it was."""
            gamma = Client(certified, "gamma")
            if gamma.let_in:
                gamma.publish(topics.data(ROOT, "gamma", "e1"), b"new")
            gamma.close()
            return (topics.data(ROOT, "gamma", "e1"), b"new") in ingestor.received

        assert wait_until(heard, DEADLINE_S)
        removed = Client(certified, "alpha")
        if removed.let_in:
            removed.publish(topics.data(ROOT, "alpha", "e1"), b"removed")
        removed.close()
        with clients(certified, "works") as (works,):
            works.publish(topics.data(ROOT, "works", "e1"), b"still")
            ingestor.until_received(topics.data(ROOT, "works", "e1"), b"still")
        assert b"removed" not in {payload for _, payload in ingestor.received}


@asynccontextmanager
async def running(broker: Started, common: Mapping[str, str]) -> AsyncIterator[None]:
    """The ingestor and the deliverer of orders, as their processes run them."""

    async def delivering(own: Settings) -> None:
        async with open_pool(own.database_url, name="deliverer") as pool:
            await deliver(pool, own)

    tasks = [
        asyncio.create_task(serve(broker.settings(INGESTOR, **common)), name="ingestor"),
        asyncio.create_task(delivering(broker.settings(DELIVERER, **common)), name="deliver"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_rows_receipts_and_orders_pass_with_our_own_code(
    broker: Started, database_url: str, tmp_path: Path
) -> None:
    key = tmp_path / "order.pem"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    # Mosquitto's list is held against a member of a group too; NATS has no shared subscriptions.
    group = "g" if broker.kind == MOSQUITTO and broker.plan.by_certificate else ""
    common = {"database_url": database_url, "order_key_file": str(key), "ingestor_group": group}
    async with await connect(database_url, name="test", autocommit=True) as conn:
        await a_works(conn)
        async with (
            running(broker, common),
            open_edge(
                replace(broker.settings("works"), order_public_key=load_signer(str(key)).public_key_b64),
                site="works",
                edge="gateway-1",
                folder=tmp_path / "edge",
            ) as edge,
        ):
            for n in range(5):
                at = 1_795_161_600_000 + 60_000 * n
                edge.outbox.append({"stack": "DA001", "sampled_at": [at], "interval_s": 60, "so2": [30.0 + n]}, 1)
            await edge.publisher.drained(60)
            assert await one(conn, "SELECT count(*) FROM measurement") == 5
            await an_alert(conn, "alert-1")
            case_id = await open_case_for_month(conn, "alert-1", now=NOW)
            assert case_id is not None
            for action in ("verify", "decide", "serve"):
                async with conn.transaction():
                    await act(
                        conn, case_id=case_id, actor="Li", roles=ALL_AGENCY, action=action, reason="because", now=NOW
                    )
            assert edge.orders is not None
            listed = await edge.orders.version_reached(1, deadline_s=60)
            assert [order.case for order in listed.orders] == [case_id]
            async with asyncio.timeout(60):
                while not await one(conn, "SELECT count(*) FROM order_ack"):  # noqa: ASYNC110 (another task's doing)
                    await asyncio.sleep(0.05)
