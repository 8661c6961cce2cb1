"""Servers in containers, where a Docker engine answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from services.offers import NotToBeHad


@cache
def engine_answers() -> bool:
    """Whether there is a Docker engine. Asked once; importing the client alone takes a moment."""
    host = os.environ.get("DOCKER_HOST", "")
    if not host and not Path("/var/run/docker.sock").exists():
        return False
    import docker  # only where there is something to ask
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


class Container:
    """One container of an image, its port on this machine's side the same for all its life."""

    def __init__(
        self,
        image: str,
        *,
        port: int,
        published: int,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        files: Mapping[Path, str] | None = None,
    ) -> None:
        from testcontainers.core.container import DockerContainer

        made: Any = DockerContainer(image).with_bind_ports(port, published)
        for name, value in (environ or {}).items():
            made = made.with_env(name, value)
        if command:
            made = made.with_command(list(command))
        for here, there in (files or {}).items():
            made = made.with_volume_mapping(str(here), there, "ro")
        self._container = made
        self.published = published

    @property
    def host(self) -> str:
        return str(self._container.get_container_host_ip())

    def start(self) -> None:
        self._container.start()

    def wrapped(self) -> Any:
        """The engine's own handle: kill, start, pause, unpause."""
        return self._container.get_wrapped_container()

    def remove(self) -> None:
        self._container.stop(force=True)


@contextmanager
def running(container: Container, answers: Callable[[], bool], *, what: str) -> Iterator[Container]:
    """*container* inside the `with`, once *answers* says that it does."""
    from services.waiting import wait_until

    container.start()
    try:
        if not wait_until(answers, 120.0):
            raise NotToBeHad(f"{what} in its container does not answer")
        yield container
    finally:
        container.remove()
