"""What feeds an edge: the protocol of a source, and the kinds of source that an agent file may name.

A kind is a list of tables in the agent file (`[[trace]]`, `[[hj212.listen]]`) and one line in `KINDS`, which says who
reads such a table. That module is imported when the kind is used, so an edge needs the libraries of its own sources
only. Running sources, again where they fail, is `edge.supervision`'s work.

To add a kind: write `def read_source(table: Reader, context: Context) -> Source | None` beside it. It fetches keys
from *table*, notes faults there, opens nothing, and gives None where it noted one. The key `name` is read here already;
keys that nobody asked for are named by the caller.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from plant.errors import BadDocument
from plant.reading import Reader

if TYPE_CHECKING:
    from edge.orders import Orders
    from edge.publisher import Publisher

MEASUREMENT: Final = "measurement"
REPORTED_MEAN: Final = "reported_mean"
SIGNAL: Final = "signal"

Row = Mapping[str, Any]
"""One row as a source puts it: the columns of its kind by name (`edge.columns` says which), times in epoch [ms]."""
Listener = Callable[[str, Sequence[Row]], None]
"""Is told of rows: their kind, and the rows."""


Stamp = tuple[int, int]
"""Size of a file and the time of its last change."""


class Feed(Protocol):
    """Where a source puts what it has. `edge.feeding` is the real one."""

    @property
    def publisher(self) -> Publisher:
        """For a source that can wait for receipts, with its outbox; a live one needs `put` only."""

    @property
    def orders(self) -> Orders | None:
        """The orders in force; None where no key to check them with is known."""

    async def put(
        self,
        rows: Sequence[Row],
        *,
        kind: str = MEASUREMENT,
        at_once: bool = False,
        position: tuple[str, str] | None = None,
    ) -> bool:
        """Keep live *rows*; returns when they are on disk.

        Rows of all sources are gathered for up to a second; *at_once*: a peer waits for our answer. With them the
        *position* (key, value) is kept, where the source goes on after a restart: `publisher.outbox.position(key)`.
        False when the outbox could not keep them: they are counted as dropped, the position stays, and a peer that
        still has them may be asked again.

        Raises
        ------
        ValueError
            If a row cannot travel: a fault of the source, nothing was kept.
        """

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* in the event loop with what every source puts from now on; call what is returned to end that.

        For those who send the same rows elsewhere too. It must not wait, and not change them. What traces and
        simulations replay does not pass here.
        """


class Source(Protocol):
    """Something that makes rows. Building one opens nothing: a file is checked, and reloaded, beside a running one."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    async def run(self, feed: Feed) -> None:
        """Work until there is nothing more to do, or until cancelled. May be called again after it ended by an error.

        Raises
        ------
        Unavailable
            If the device is away: it is run again after a growing delay. Any other error is taken for a fault in the
            program and waits longer.
        """

    def state(self) -> Mapping[str, Any]:
        """At least `ok` (bool), `detail` (a few words), `tolerated` (how often, by kind of fault); it is published.

        Under further keys stands what else a person wants to see, as a `plant.figures.Figure`: an uplink's `connected`,
        `last_confirmed` (a time, ISO 8601), `waiting`, `refused` (counts by code). They go out together as `figures`.
        """


@dataclass(slots=True, kw_only=True)
class Context:
    """What a reader may know beside its table."""

    site: str
    name: str  #: of the source, one in its agent file
    beside: Path  #: folder of the agent file
    files: dict[Path, Stamp] = field(default_factory=dict)

    def file(self, text: str) -> Path:
        """The file that *text* names, relative to the agent file; when it changes, the source is built anew."""
        path = self.beside / text
        self.files[path] = stamp_of(path)
        return path


@dataclass(frozen=True, slots=True)
class Declared:
    """A source and a digest of what it was made from: equal `made_from`, equal source."""

    source: Source
    made_from: str
    files: Mapping[Path, Stamp] = field(default_factory=dict)  #: that were read for it, as they stood


@dataclass(frozen=True, slots=True)
class Kind:
    """Who reads the tables of a kind (`module:function`), and the extra that brings the libraries it needs."""

    reader: str
    extra: str


KINDS: Final[Mapping[str, Kind]] = {
    "trace": Kind("edge.replay:read_source", "edge"),
    "simulation": Kind("edge.simulated:read_source", "sim"),
    "modbus": Kind("edge.modbus.source:read_source", "modbus"),
    "opcua": Kind("edge.opcua.source:read_source", "opcua"),
    "hj212.listen": Kind("edge.hj212.listen:read_source", "edge"),
    "hj212.poll": Kind("edge.hj212.poll:read_source", "edge"),
    "hj212.uplink": Kind("edge.hj212.uplink:read_source", "edge"),
}

_OURS: Final = ("edge", "plant")


def read_sources(top: Reader, *, site: str, beside: Path) -> list[Declared]:
    """The sources that the agent file *top* declares; faults are noted in it."""
    declared: list[Declared] = []
    names: set[str] = set()
    for kind, index, table, raw in _tables(top):
        default = f"{kind.replace('.', '-')}-{index + 1}"
        context = Context(site=site, name=table.identifier("name", default), beside=beside)
        if context.name in names:
            table.fault("name", f"{context.name!r} is the name of another source")
        names.add(context.name)
        source = _source(KINDS[kind], table, context)
        table.finish()
        if source is not None:
            files = sorted((str(path), stamp) for path, stamp in context.files.items())
            made_from = json.dumps([kind, site, context.name, raw, files], sort_keys=True, default=str)
            made_from = hashlib.sha256(made_from.encode()).hexdigest()  # passwords stand in tables
            declared.append(Declared(source, made_from, context.files))
    return declared


def stamp_of(path: Path) -> Stamp:
    """How *path* stands now; zeros where there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _tables(top: Reader) -> Iterator[tuple[str, int, Reader, Any]]:
    """Each table of a known kind: kind, number, reader, and the table itself."""
    groups: dict[str, Reader] = {}
    for kind in KINDS:
        group, dot, key = kind.rpartition(".")
        if dot and group not in groups:
            groups[group] = top.table(group)
        within = groups[group] if dot else top
        raw = within.raw(key)
        listed = [item for item in raw if isinstance(item, Mapping)] if isinstance(raw, list) else []
        for index, (table, item) in enumerate(zip(within.tables(key), listed, strict=True)):
            yield kind, index, table, item
    for group_reader in groups.values():
        group_reader.finish()


def _source(kind: Kind, table: Reader, context: Context) -> Source | None:
    module, _, function = kind.reader.partition(":")
    before = len(table.faults)
    try:
        read: Callable[[Reader, Context], Source | None] = getattr(importlib.import_module(module), function)
        source = read(table, context)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        table.fault("", f"needs the extra: pip install 'stackwatch[{kind.extra}]' ({error.name} is missing)")
        return None
    except BadDocument as error:
        for fault in error.faults:
            table.fault(fault.path, fault.message)
        return None
    return source if len(table.faults) == before else None
