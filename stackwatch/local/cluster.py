"""The database cluster on disk: where it lies, and its configuration.

Under root it belongs to the unprivileged user. Where that user cannot get through to the data folder, the
cluster lies under the machine's own folder, with a link to it and a note of whose it is; the modes of other
people's folders are never touched.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stackwatch.local.folder import DataFolder, FolderUnusable
from stackwatch.local.owner import HOME, NAME, Owner
from stackwatch.local.ports import LOOPBACK

USER: Final = "stackwatch"

#: For one machine that also runs everything else. Nothing may be lost: what a commit promises is on disk.
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "80",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # solid state, and mostly in memory
    "jit": "off",  # compiling costs more than our short queries
    "client_connection_check_interval": "5s",  # a killed process's long query ends, and its locks go
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_destination": "stderr",
    "logging_collector": "off",  # stderr is the log file the supervisor bounds
    "log_line_prefix": "%m [%p] %a ",
    "log_min_duration_statement": "5s",
    "log_parameter_max_length": "0",  # what is measured is not for logs
    "log_parameter_max_length_on_error": "0",
}

_HBA: Final = f"""\
# Written by stackwatch at each start.
host all all {LOOPBACK}/32 scram-sha-256
host replication {USER} {LOOPBACK}/32 scram-sha-256
"""
OWN_SETTINGS: Final = "own.conf"


def place(folder: DataFolder, owner: Owner | None, *, machine_home: Path = HOME) -> Path:
    """The folder that holds (or will hold) the cluster, private to whom PostgreSQL runs as."""
    if folder.postgres.is_symlink():
        return _linked(folder)
    if folder.postgres.exists():
        if owner is not None and not owner.may("-x", folder.postgres):
            raise FolderUnusable(
                f"PostgreSQL's user {NAME!r} can no longer reach {folder.postgres}: "
                "let it through the folders above, or move the data folder back"
            )
        return folder.postgres
    if owner is None:
        folder.postgres.mkdir(mode=0o700)
        return folder.postgres
    if owner.may("-x", folder.path.parent):
        let_through(folder.path, owner)
        folder.postgres.mkdir(mode=0o700)
        owner.give(folder.postgres)
        return folder.postgres
    return _elsewhere(folder, owner, machine_home)


def let_through(path: Path, owner: Owner) -> None:
    """Let *owner* pass through a folder of ours to what it owns inside, and see nothing else."""
    path.mkdir(mode=0o710, exist_ok=True)
    status = path.stat()
    if status.st_gid != owner.gid or status.st_mode & 0o777 != 0o710:
        os.chown(path, -1, owner.gid)
        path.chmod(0o710)


def _linked(folder: DataFolder) -> Path:
    home = folder.postgres.resolve()
    if not home.is_dir():
        raise FolderUnusable(f"the database of {folder.path} should be at {home}, and is not there")
    return home


def _elsewhere(folder: DataFolder, owner: Owner, machine_home: Path) -> Path:
    for step in (machine_home, machine_home / "clusters"):
        let_through(step, owner)
    # not named after the data folder: a new one of the same name must not find the old one's database
    home = machine_home / "clusters" / secrets.token_hex(8)
    home.mkdir(mode=0o700)
    owner.give(home)
    (home / "OWNER").write_text(f"The database of the stackwatch data folder {folder.path}\n", encoding="utf-8")
    folder.postgres.symlink_to(home)
    return home


def write_configuration(cluster: Path, settings: Mapping[str, str], owner: Owner | None) -> None:
    """Write the server's configuration; what an operator puts into own.conf beside it has the last word."""
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    text = "\n".join(["# Written by stackwatch at each start.", *lines, f"include_if_exists '{OWN_SETTINGS}'", ""])
    for name, content in (("postgresql.conf", text), ("pg_hba.conf", _HBA)):
        path = cluster / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
        if owner is not None:
            owner.give(path)


def major_version(cluster: Path) -> int | None:
    """The PostgreSQL a cluster belongs to; None if there is no cluster yet."""
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii").strip().partition(".")[0])
    except FileNotFoundError:
        return None
