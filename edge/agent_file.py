"""The agent file (TOML): which edge this is, what feeds it, and what it does beside; every fault with its key path.

Reading it opens no device and no connection, so a file is checked beside a running agent before it takes over.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.hook import DEADLINE_S, Hook
from edge.outbox import DEFAULT_MAX_AGE_S, DEFAULT_MAX_BYTES, POLICIES, Policy
from edge.sources import KINDS, Declared, Stamp, read_sources, stamp_of
from edge.window import DEFAULT_DRAIN_ROWS_PER_S
from plant.errors import BadDocument, Fault
from plant.reading import Reader

_MB: Final = 1 << 20
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """What an agent file says."""

    site: str
    edge: str
    folder: Path
    max_bytes: int = DEFAULT_MAX_BYTES
    max_age_s: float = DEFAULT_MAX_AGE_S
    drain_rows_per_s: float = DEFAULT_DRAIN_ROWS_PER_S
    policy: Policy = "drop_oldest"
    status_port: int | None = None  #: of the page on loopback; None serves none
    hook: Hook | None = None
    sources: tuple[Declared, ...] = ()
    files: Mapping[Path, Stamp] = field(default_factory=dict)  #: the agent file and what it names, as they were read


def read_agent_file(path: Path) -> AgentPlan:
    """What the agent file *path* says; paths in it are relative to it.

    Raises
    ------
    BadDocument
        With every fault, those of its sources included.
    """
    stamp = stamp_of(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadDocument(str(path), [Fault("", f"cannot be read: {error}")]) from error
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    site, edge = top.identifier("site"), top.identifier("edge")
    policy: Policy = "refuse" if top.one_of("policy", POLICIES, "drop_oldest") == "refuse" else "drop_oldest"
    sources = tuple(read_sources(top, site=site, beside=path.parent))
    plan = AgentPlan(
        site=site,
        edge=edge,
        folder=_folder(top, path.parent),
        max_bytes=top.whole("max_mb", DEFAULT_MAX_BYTES // _MB, low=1, high=1 << 20) * _MB,
        max_age_s=top.number("max_days", DEFAULT_MAX_AGE_S / _DAY_S, low=0.01, high=36_500) * _DAY_S,
        drain_rows_per_s=top.number("drain_rows_per_s", DEFAULT_DRAIN_ROWS_PER_S, low=1, high=1e7),
        policy=policy,
        status_port=_status_port(top),
        hook=_hook(top, path.parent),
        sources=sources,
        files={path: stamp} | {file: stamp for declared in sources for file, stamp in declared.files.items()},
    )
    top.finish()
    if not plan.sources and not faults:
        kinds = ", ".join(f"[[{kind}]]" for kind in KINDS)
        faults.append(Fault("", f"has no source: write one of {kinds}"))
    if faults:
        raise BadDocument(str(path), faults)
    return plan


def _folder(top: Reader, beside: Path) -> Path:
    name = top.text("outbox", "outbox")
    if "\0" in name:
        top.fault("outbox", "is no name of a folder")
    return beside / name


def _status_port(top: Reader) -> int | None:
    if "status" not in top:
        return None
    status = top.table("status")
    port = status.whole("port", 8090, low=0, high=65_535)
    status.finish()
    return port


def _hook(top: Reader, beside: Path) -> Hook | None:
    if "hook" not in top:
        return None
    table = top.table("hook")
    command = _command(table, beside)
    deadline_s = table.number("deadline_s", DEADLINE_S, low=0.1, high=3600)
    table.finish()
    return Hook(command=command, folder=beside, deadline_s=deadline_s)


def _command(table: Reader, beside: Path) -> tuple[str, ...]:
    """The program, found, and its arguments."""
    written = table.raw("command")
    if not isinstance(written, list) or not written or not all(isinstance(word, str) for word in written):
        table.fault("command", 'must be a list of texts such as ["./notify", "--duty"]')
        return ()
    program, *arguments = written
    if any("\0" in word for word in written):
        table.fault("command", "must not hold zero bytes")
        return ()
    path = str(beside / program) if os.sep in program else program
    found = shutil.which(path)
    if found is None:
        table.fault("command", f"{program!r} is no program that can be run")
    return (str(Path(found).absolute()) if found else program, *arguments)
