"""Where the database and the broker are: as said, as the environment says, or as a running `up` wrote down."""

from __future__ import annotations

import os
from pathlib import Path

from plant.errors import BadDocument, Fault
from plant.settings import Settings
from stackwatch import running


def reach(
    *,
    database_url: str | None = None,
    mqtt_url: str | None = None,
    data: Path | None = None,
    needs: tuple[str, ...] = ("database_url",),
    wants: tuple[str, ...] = (),
) -> Settings:
    """Settings with the addresses in *needs* filled in, and those in *wants* where they are to be found.

    In this order: the command line, `--data DIR`, the environment, the `up` that runs on the default folder.

    Raises
    ------
    BadDocument
        If an address in *needs* is nowhere to be found.
    """
    given = {"database_url": database_url, "mqtt_url": mqtt_url}
    if data is not None:
        given |= {name: value for name, value in _of_folder(data).items() if not given.get(name)}
    settings = running.settings(quiet=True, **given)
    if all(getattr(settings, name) for name in (*needs, *wants)):
        return settings
    local = _of_default_folder()
    settings = running.settings(
        quiet=True, **{name: given.get(name) or getattr(settings, name) or local.get(name) for name in given}
    )
    missing = [name for name in needs if not getattr(settings, name)]
    if missing:
        wanted = " and ".join(f"--{name.replace('_', '-')} (or STACKWATCH_{name.upper()})" for name in missing)
        fault = Fault("", f"no running stackwatch was found: give {wanted}, or --data DIR of a running `stackwatch up`")
        raise BadDocument("arguments", [fault])
    return settings


def _of_folder(data: Path) -> dict[str, str | None]:
    from stackwatch.local.folder import read_run_file

    run = read_run_file(data)
    return {"database_url": run.database_url, "mqtt_url": run.mqtt_url}


def _of_default_folder() -> dict[str, str | None]:
    try:
        from stackwatch.local.folder import NotRunning, default_folder
    except ImportError:  # a process of its own, installed without the embedded stack
        return {}
    try:
        return _of_folder(default_folder(os.environ))
    except NotRunning:
        return {}
