"""The whole system on one machine: started in order, kept alive, ended in order.

    lock -> end what a killed run left -> PostgreSQL and broker -> migrate -> prepare (caller) -> processes
    ... each is started again when it dies ...
    processes in reverse -> broker -> PostgreSQL -> unlock

What the processes do, what is printed and what a signal means is left to the command line, which cancels the
main task.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from plant.settings import PREFIX
from plant.topics import DEFAULT_ROOT
from stackwatch.local import health, keys, logfiles
from stackwatch.local.broker import Broker
from stackwatch.local.folder import DataFolder, RunFile, resolved
from stackwatch.local.keeping import Keepers
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.postgres import STOP_LEFT_BEHIND, Postgres
from stackwatch.local.processes import Identity, StartFailed, end_left_behind, started
from stackwatch.local.services import STOP, Program, Service
from store.migrate import migrate

logger = logging.getLogger(__name__)

PROCESSES: Final = ("ingestor", "alerts", "api")
HTTP_PORT: Final = 8000
MQTT_PORT: Final = 1883
POSTGRES_PORT: Final = 15_432  # below the range from which the kernel takes ports for outgoing connections
NATS_PORT: Final = 14_222

HEALTH_PAUSE_S: Final = 0.2
ROTATION_PAUSE_S: Final = 60.0
BROKER_PAUSE_S: Final = 5.0
BROKER_ROOM_BYTES: Final = 8 << 20  # less is no room to begin again in


class LocalStack:
    """``async with LocalStack(...)``: inside, the system runs; after it, nothing of it does.

    Parameters
    ----------
    http_port, mqtt_port
        Exactly these, or `NoPort`; None: those of the last run here, or 8000 and 1883, or the next free.
    mqtt_auth
        One broker user a site (`set_sites`); otherwise local clients need no credentials.
    settings_env
        More settings for the processes, by their full name in the environment.
    processes
        Names of commands of `stackwatch`, or names with the argument lists to run; started in this order.
    prepare
        Called when database and broker run and the schema is current, before the processes start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        http_port: int | None = None,
        mqtt_port: int | None = None,
        mqtt_auth: bool = False,
        settings_env: Mapping[str, str] | None = None,
        processes: Sequence[str] | Mapping[str, Sequence[str]] = PROCESSES,
        prepare: Callable[[LocalStack], Awaitable[None]] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        rng: Random | None = None,
    ) -> None:
        self._folder = DataFolder(resolved(folder))
        self._wished = {"http": http_port, "mqtt": mqtt_port}
        self._mqtt_auth = mqtt_auth
        self._settings_env = dict(settings_env or {})
        self._argv = processes if isinstance(processes, Mapping) else {name: own_process(name) for name in processes}
        self._prepare = prepare
        self._postgres_settings = postgres_settings
        self._rng = rng or Random()
        self._ports: dict[str, int] = {}
        self._postgres: Postgres | None = None
        self._broker: Broker | None = None
        self._programs: list[Program] = []
        self._keepers: Keepers | None = None
        self._held = ExitStack()

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def database_url(self) -> str:
        assert self._postgres is not None, "not entered"
        return self._postgres.url

    @property
    def mqtt_url(self) -> str:
        assert self._broker is not None, "not entered"
        return self._broker.url

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['http']}"

    @property
    def order_key_file(self) -> Path:
        return self._folder.keys / "order.pem"

    @property
    def secrets_key_file(self) -> Path:
        return self._folder.keys / "secrets.key"

    @property
    def order_public_key(self) -> str:
        return keys.public_half(self.order_key_file)

    def processes(self) -> dict[str, Identity]:
        """The children that run now, by name."""
        running = {service.name: service.child for service in self._services()}
        return {name: child.identity for name, child in running.items() if child and child.exit_code is None}

    async def set_sites(self, sites: Iterable[str]) -> None:
        """Let exactly *sites* speak on the broker; without access control, nothing to do."""
        assert self._broker is not None, "not entered"
        await self._broker.set_sites(sites)

    def site_password(self, site: str) -> str:
        """What an edge of *site* logs in with under `mqtt_auth`; its user name is the site's code."""
        assert self._broker is not None, "not entered"
        return self._broker.site_password(site)

    async def wait_healthy(self, deadline_s: float) -> None:
        """Return when the API says that all is well; `StartFailed` with what it said last, if it does not."""
        status, said = 0, "was not asked"
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    status, said = await health.ask(LOOPBACK, self._ports["http"])
                    if status == 200:
                        if self._postgres is not None:
                            await asyncio.to_thread(self._postgres.forget_old)
                        return
                    await asyncio.sleep(HEALTH_PAUSE_S)
        except TimeoutError:
            heard = f"{status or 'no answer'}: {said.strip()}"
            raise StartFailed(f"not healthy after {deadline_s:g} s: {heard}{self._last_words()}") from None

    async def wait(self) -> None:
        """Wait until cancelled. Returns never; raises if the supervision itself breaks down."""
        assert self._keepers is not None, "not entered"
        await self._keepers.failure()

    async def __aenter__(self) -> Self:
        self._held.enter_context(self._folder.locked())
        try:
            await self._start(Keepers(self._rng, spawned=self._write_run_file))
        except BaseException:
            await self._stop_whatever_happens()
            raise
        return self

    async def _start(self, keepers: Keepers) -> None:
        self._keepers = keepers
        last = self._folder.last_run()
        await self._end_left_behind(last)
        self._take_ports(last)
        keys.order_key(self.order_key_file)
        keys.secrets_key(self.secrets_key_file)
        self._postgres = await asyncio.to_thread(
            Postgres.on, self._folder, port=self._ports["postgres"], settings=self._postgres_settings
        )
        self._broker = Broker(
            self._folder,
            mqtt_port=self._ports["mqtt"],
            nats_port=self._ports["nats"],
            auth=self._mqtt_auth,
            topic_root=self._settings_env.get(f"{PREFIX}TOPIC_ROOT", DEFAULT_ROOT),
        )
        await self._start_together(keepers, self._postgres, self._broker)
        applied = await migrate(self.database_url)
        logger.info("schema_migrated", extra={"applied": len(applied)})
        if self._prepare is not None:
            await self._prepare(self)
        self._programs = [self._program(name, argv) for name, argv in self._argv.items()]
        for program in self._programs:
            keepers.keep(program, await program.start(self._write_run_file))
        keepers.also(self._rotate_logs(), name="rotate_logs")
        keepers.also(self._watch_broker(self._broker), name="watch_broker")
        logger.info("stack_started", extra={"folder": str(self.folder)})

    async def _start_together(self, keepers: Keepers, *services: Service) -> None:
        """Start *services* side by side; of several failures the first one counts."""
        try:
            async with asyncio.TaskGroup() as tasks:
                starts = [
                    (
                        service,
                        tasks.create_task(service.start(self._write_run_file), name=f"start_{service.name}"),
                    )
                    for service in services
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for service, start in starts:
            keepers.keep(service, start.result())

    async def _end_left_behind(self, last: RunFile) -> None:
        """End what a killed run left: our own processes first, then what they lean on."""
        for name, identity in reversed(list(last.processes.items())):
            if await end_left_behind(identity, STOP_LEFT_BEHIND if name == Postgres.name else STOP):
                logger.warning("left_behind_ended", extra={"program": name, "pid": identity.pid})

    def _take_ports(self, last: RunFile) -> None:
        ports = self._held.enter_context(Ports())
        for name, usual in (
            ("http", HTTP_PORT),
            ("mqtt", MQTT_PORT),
            ("postgres", POSTGRES_PORT),
            ("nats", NATS_PORT),
        ):
            wished = self._wished.get(name)
            self._ports[name] = ports.take(last.ports.get(name), usual) if wished is None else ports.exactly(wished)

    def _program(self, name: str, argv: Sequence[str]) -> Program:
        return Program(name, argv, environ=self._environ, log=self._folder.log(name), cwd=self.folder)

    def _environ(self) -> dict[str, str]:
        """Ours without its settings (they were for this command), with those of the embedded stack."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        settings = {
            "DATABASE_URL": self.database_url,
            "MQTT_URL": self.mqtt_url,
            "HTTP_HOST": LOOPBACK,
            "HTTP_PORT": str(self._ports["http"]),
            "ORDER_KEY_FILE": str(self.order_key_file),
            "ORDER_PUBLIC_KEY": self.order_public_key,
            "SECRETS_KEY_FILE": str(self.secrets_key_file),
        }
        return inherited | {PREFIX + name: value for name, value in settings.items()} | self._settings_env

    def _write_run_file(self) -> None:
        self._folder.write_run_file(
            RunFile(
                supervisor=Identity(os.getpid(), started(os.getpid()) or ""),
                database_url=self._postgres.url if self._postgres else "",
                mqtt_url=self._broker.url if self._broker else "",
                http_url=self.http_url,
                ports=self._ports,
                processes=self.processes(),
            )
        )

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(ROTATION_PAUSE_S)
            for service in self._services():
                try:
                    if logfiles.rotate(self._folder.log(service.name)):
                        logger.info("log_rotated", extra={"program": service.name})
                except OSError as error:
                    logger.warning("log_not_rotated", extra={"program": service.name, "error": str(error)})

    async def _watch_broker(self, broker: Broker) -> None:
        """End a broker that cannot write to its store, once there is room: it is started again, and only then writes.

        Nothing is lost by that: what it has not stored it has not acknowledged, and edges keep all until its receipt.
        """
        while True:
            await asyncio.sleep(BROKER_PAUSE_S)
            complaint = await broker.complaint()
            if complaint is None or broker.child is None:
                continue
            free = shutil.disk_usage(self._folder.broker).free
            logger.error("broker_cannot_store", extra={"reason": complaint, "free_bytes": free})
            if free >= BROKER_ROOM_BYTES:
                await broker.child.stop()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_whatever_happens()

    async def _stop_whatever_happens(self) -> None:
        """Stop everything, also if we are cancelled meanwhile: the cancellation comes through afterwards."""
        stopping = asyncio.create_task(self._stop(), name="stop_stack")
        cancelled: asyncio.CancelledError | None = None
        while not stopping.done():
            try:
                await asyncio.wait([stopping])
            except asyncio.CancelledError as again:
                cancelled = again
        stopping.result()
        if cancelled is not None:
            raise cancelled

    async def _stop(self) -> None:
        try:
            if self._keepers is not None:
                await self._keepers.stop()
            for service in reversed(self._services()):
                if service.child is not None:
                    await service.child.stop()
            if self._ports:
                self._folder.write_run_file(RunFile(ports=self._ports))
            logger.info("stack_stopped", extra={"folder": str(self.folder)})
        finally:
            self._held.close()

    def _services(self) -> list[Service]:
        """In the order of their start."""
        return [service for service in (self._postgres, self._broker, *self._programs) if service is not None]

    def _last_words(self) -> str:
        words = ""
        for service in self._services():
            log = self._folder.log(service.name)
            words += "".join(f"\n  {line}" for line in [f"end of {log}:", *logfiles.tail(log, lines=5)])
        return words


def own_process(name: str) -> list[str]:
    """The command line of one of our processes; -P: nothing in its working directory is a module."""
    return [sys.executable, "-P", "-m", "stackwatch", name]
