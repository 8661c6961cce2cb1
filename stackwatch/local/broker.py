"""The embedded MQTT broker: nats-server with its sessions and retained messages on disk.

With access control each site is a user of its own who may speak under the site's topics and nowhere else.
Everything else of MQTT is the clients' business: nothing outside this module knows which broker runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from plant.topics import DEFAULT_ROOT
from stackwatch.local import access, binaries, health, keys, mqtt_probe
from stackwatch.local.folder import DataFolder, write_private
from stackwatch.local.ports import LOOPBACK
from stackwatch.local.processes import (
    POLL_S,
    Child,
    Command,
    StartFailed,
    Steps,
    end_left_behind,
    last_words,
    spawn,
    with_argument,
)

logger = logging.getLogger(__name__)

READY_WITHIN_S: Final = 60.0
RELOADED_WITHIN_S: Final = 20.0
STOP: Final[Steps] = ((signal.SIGTERM, 5.0),)

_CONFIGURATION: Final = """\
# Written by stackwatch at each start.
server_name: stackwatch
listen: "{host}:{nats_port}"
# On a port of its own choice, which it writes down there: whether its store works (`complaint`).
http: "{host}:-1"
ports_file_dir: "{store}"
jetstream {{
  store_dir: "{store}"
  max_memory_store: 64MB
  max_file_store: 4GB
  # A machine that loses power may lose this much of what passed through: edges keep all until its receipt.
  sync_interval: 10s
}}
mqtt {{
  listen: "{host}:{mqtt_port}"
  # A message that an ingestor did not acknowledge comes again after this long.
  ack_wait: "3s"
  # The in-flight window: what the broker hands out unacknowledged is what a slow ingestor must hold.
  max_ack_pending: 2000
{no_auth_user}}}
{authorization}
"""


class Broker:
    """One broker on one data folder. `start` again after it died: same ports, same store."""

    name = "broker"

    def __init__(
        self,
        folder: DataFolder,
        *,
        mqtt_port: int,
        nats_port: int,
        auth: bool,
        topic_root: str = DEFAULT_ROOT,
        sites: Iterable[str] = (),
    ) -> None:
        self._folder = folder
        self._mqtt_port = mqtt_port
        self._nats_port = nats_port
        self._auth = auth
        self._topic_root = topic_root
        self._sites = frozenset(sites)
        self._program = binaries.nats_server()
        self._configuration = folder.broker / "nats.conf"
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """What our own processes connect to; with access control, as the one user who may do everything."""
        if not self._auth:
            return f"mqtt://{LOOPBACK}:{self._mqtt_port}"
        return f"mqtt://{access.SYSTEM}:{self._passwords()[access.SYSTEM]}@{LOOPBACK}:{self._mqtt_port}"

    def site_password(self, site: str) -> str:
        """What an edge of *site* logs in with; its user name is the site's code."""
        return self._passwords()[site]

    async def start(self, spawned: Callable[[], None]) -> Child:
        """Start it and wait until it answers MQTT; *spawned* is called once there is a process."""
        for identity in with_argument(self._configuration):
            if await end_left_behind(identity, STOP):
                logger.warning("left_behind_ended", extra={"program": self.name, "pid": identity.pid})
        self._write_configuration()
        child = self.child = spawn(self._command())
        spawned()
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await self._lets_in(*self._own_login()):
                    if child.exit_code is not None:
                        raise StartFailed(f"the broker ended at once ({child.exit_code}){last_words(child.command)}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise StartFailed(
                f"the broker does not answer after {READY_WITHIN_S:g} s{last_words(child.command)}"
            ) from None
        return child

    async def complaint(self) -> str | None:
        """What the running broker says is wrong with itself, such as a store that it can no longer write to.

        It answers clients all the same, and where a write failed once it does not try again until it is restarted.
        """
        child = self.child
        if child is None or child.exit_code is not None:
            return None
        try:
            said = (self._folder.broker / f"nats-server_{child.identity.pid}.ports").read_text(encoding="ascii")
            port = int(json.loads(said)["monitoring"][0].rpartition(":")[2])
        except (OSError, ValueError, LookupError):
            return None  # not yet written, or there was no room to write it
        status, answer = await health.ask(LOOPBACK, port, path="/healthz")
        if status in (0, 200):
            return None
        try:
            return str(json.loads(answer)["error"])
        except (ValueError, LookupError, TypeError):
            return answer.strip() or f"status {status}"

    async def set_sites(self, sites: Iterable[str]) -> None:
        """Let exactly *sites* in, from now on; running connections of the others are closed."""
        before, self._sites = self._sites, frozenset(sites)
        changed = sorted(before ^ self._sites)
        if not self._auth or not changed:
            return
        self._write_configuration()
        if self.child is None or self.child.exit_code is not None:
            return  # it reads the new configuration when it starts
        os.kill(self.child.identity.pid, signal.SIGHUP)
        probe, wanted = changed[0], changed[0] in self._sites
        password = self._passwords(probe)[probe]
        try:
            async with asyncio.timeout(RELOADED_WITHIN_S):
                while await self._lets_in(probe, password) is not wanted:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise StartFailed(f"the broker did not take its new list of sites{last_words(self._command())}") from None
        logger.info("broker_sites_changed", extra={"sites": len(self._sites)})

    async def _lets_in(self, user: str | None, password: str | None) -> bool:
        return await mqtt_probe.answers(LOOPBACK, self._mqtt_port, user=user, password=password)

    def _own_login(self) -> tuple[str | None, str | None]:
        return (access.SYSTEM, self._passwords()[access.SYSTEM]) if self._auth else (None, None)

    def _passwords(self, *more: str) -> Mapping[str, str]:
        return keys.passwords(self._folder.keys / "mqtt.json", [access.SYSTEM, *self._sites, *more])

    def _write_configuration(self) -> None:
        users = (
            access.by_site(self._topic_root, self._passwords(), sites=self._sites) if self._auth else access.everybody()
        )
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            nats_port=self._nats_port,
            mqtt_port=self._mqtt_port,
            store=self._folder.broker,
            no_auth_user="" if self._auth else f'  no_auth_user: "{access.ANYBODY}"\n',
            authorization=users,
        )
        write_private(self._configuration, text)

    def _command(self) -> Command:
        return Command(
            name=self.name,
            argv=[str(self._program), "--config", str(self._configuration)],
            log=self._folder.log(self.name),
            cwd=self._folder.broker,
            environ={"PATH": os.defpath, "HOME": str(self._folder.broker), "TZ": "UTC"},
            death_signal=signal.SIGTERM,
            steps=STOP,
        )
