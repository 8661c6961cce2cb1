"""The rows of a benchmark: what edges of several works send, as frames of the wire and as rows of a COPY.

One day and more of each stack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.shape import EDGE, INTERVAL_S, MEANS, STATE, site_code, stack_code
from plant import topics, wire
from plant.channels import CHANNELS

SESSION: Final = "bench"
#: Recent, so that no policy packs or drops it; a whole number of days ago, so that chunks are alike in each run.
START: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
_EPOCH_OF_POSTGRES: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SECOND_US: Final = 1_000_000
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL: Final = b"\xff\xff"

Packets = Iterator[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Of each of *edges* works the same number of rows, in whole frames."""

    rows: int
    frame_rows: int
    edges: int
    stacks: int  #: of one edge

    @property
    def frames(self) -> int:
        """Of one edge."""
        return max(1, self.rows // self.edges // self.frame_rows)

    @property
    def edge_rows(self) -> int:
        return self.frames * self.frame_rows

    @property
    def total_rows(self) -> int:
        return self.edges * self.edge_rows

    def sampled_at_us(self) -> npt.NDArray[np.int64]:
        """(edge_rows,): all stacks of one instant, then the next one."""
        return int(START.timestamp()) * _SECOND_US + np.arange(self.edge_rows) // self.stacks * INTERVAL_S * _SECOND_US

    def values(self, edge: int) -> npt.NDArray[np.float64]:
        """(edge_rows, channels)"""
        means = np.array(list(MEANS.values()))
        return np.random.default_rng(edge).normal(means, np.abs(means) / 40, (self.edge_rows, means.size))


def register(load: Load) -> str:
    """The works that *load* comes from, as a register file."""
    sites = "".join(_site(load, edge) for edge in range(load.edges))
    return f'[[region]]\ncode = "r"\nname = "Region"\n{sites}'


def _site(load: Load, edge: int) -> str:
    head = f'[[site]]\ncode = "{site_code(edge)}"\nname = "Works {edge}"\nregion = "r"\ntimezone = "Asia/Shanghai"\n'
    stack = 'process = "sinter_head"\npacks = ["cn-steel-ule-2019"]\n'
    return head + "".join(
        f'[[site.stack]]\ncode = "{stack_code(n)}"\nname = "{n}"\ninterval_s = {INTERVAL_S}\n{stack}'
        for n in range(load.stacks)
    )


def payloads(load: Load, edge: int) -> Iterator[bytes]:
    """The frames of one edge, as `plant.wire` writes them."""
    values, times = load.values(edge), load.sampled_at_us() // 1000
    names = [stack_code(n) for n in range(load.stacks)]
    for frame in range(load.frames):
        first = frame * load.frame_rows
        rows = slice(first, first + load.frame_rows)
        body: dict[str, Any] = {
            "stack": [names[row % load.stacks] for row in range(first, first + load.frame_rows)],
            "sampled_at": times[rows].tolist(),
            "interval_s": INTERVAL_S,
            "state": STATE,
            "flag": "N",
        }
        body |= dict(zip(MEANS, values[rows].T.tolist(), strict=True))
        yield wire.frame(
            body,
            session=SESSION,
            seq=frame + 1,
            low=1,
            rows_before=first,
            dropped_before=0,
            sent_at_ms=body["sampled_at"][-1],
        )


def write_packets(load: Load, root: str, edge: int, path: Path) -> int:
    """Write the frames of *edge* as MQTT PUBLISH packets, each behind its length; how many bytes the frames have."""
    topic = topics.data(root, site_code(edge), EDGE).encode()
    size = 0
    with path.open("wb") as file:
        for number, payload in enumerate(payloads(load, edge)):
            head = struct.pack(">H", len(topic)) + topic + struct.pack(">H", number % 65_535 + 1)
            packet = b"\x32" + variable_length(len(head) + len(payload)) + head + payload
            file.write(struct.pack(">I", len(packet)))
            file.write(packet)
            size += len(payload)
    return size


def variable_length(number: int) -> bytes:
    """MQTT 3.1.1, 2.2.3."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def copy_blocks(load: Load, stack_ids: Mapping[tuple[int, str], int], *, rows_a_block: int) -> list[bytes]:
    """The same rows as binary COPYs of *rows_a_block* each, encoded and sorted by key, ready to be sent.

    The rows of all edges side by side, as an ingestor meets them.
    """
    shape = (load.edges, load.edge_rows)
    edge_of, row_of = np.divmod(np.arange(load.total_rows), load.edge_rows)
    arrival = np.argsort(row_of // load.frame_rows, kind="stable")
    ids = np.array([[stack_ids[edge, stack_code(n)] for n in range(load.stacks)] for edge in range(load.edges)])
    stack_id = np.empty(shape, dtype=np.int32)
    stack_id[:] = ids[:, np.arange(load.edge_rows) % load.stacks]
    times = np.broadcast_to(load.sampled_at_us(), shape)
    values = np.stack([load.values(edge) for edge in range(load.edges)])
    blocks = []
    for first in range(0, load.total_rows, rows_a_block):
        taken = arrival[first : first + rows_a_block]
        edges, rows = edge_of[taken], row_of[taken]
        order = np.lexsort((times[edges, rows], stack_id[edges, rows]))
        edges, rows = edges[order], rows[order]
        blocks.append(
            _COPY_HEAD + _encoded(stack_id[edges, rows], times[edges, rows], values[edges, rows]) + _COPY_TAIL
        )
    return blocks


COPY: Final = """
COPY measurement (stack_id, instrument, sampled_at, interval_s, flag, flags, state, revision, sent_at, received_at,
                  batch_id, versions, so2, nox, no, no2, pm, co, nh3, o2, moisture, temperature, pressure, velocity,
                  flow, power_production_kw, power_abatement_kw, load_pct, extra)
FROM STDIN (FORMAT BINARY)
"""


def _encoded(
    stack_id: npt.NDArray[np.int32], sampled_at_us: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> bytes:
    """Rows in PostgreSQL's binary format: all have the same fields, so each is one record of fixed length."""
    out = np.zeros(stack_id.size, dtype=_ROW)
    for name, size in _SIZES.items():
        out[f"{name}_size"] = size
    at = sampled_at_us - int(_EPOCH_OF_POSTGRES.timestamp()) * _SECOND_US
    out["fields"] = len(_SIZES)
    out["stack_id"], out["sampled_at"] = stack_id, at
    out["instrument"], out["flag"], out["state"] = b"main", b"N", STATE.encode()
    out["interval_s"], out["batch_id"], out["versions"] = INTERVAL_S, 1, 1
    out["sent_at"] = out["received_at"] = at
    for name, column in zip(MEANS, values.T, strict=True):
        out[name] = column
    return out.tobytes()


def _layout() -> tuple[dict[str, int], np.dtype[Any]]:
    fixed = {
        "stack_id": ">i4",
        "instrument": "S4",
        "sampled_at": ">i8",
        "interval_s": ">i4",
        "flag": "S1",
        "flags": None,
        "state": f"S{len(STATE)}",
        "revision": ">i4",
        "sent_at": ">i8",
        "received_at": ">i8",
        "batch_id": ">i8",
        "versions": ">i2",
    }
    kinds = fixed | {name: ">f8" if name in MEANS else None for name in CHANNELS} | {"extra": None}
    sizes, record = {}, [("fields", ">i2")]
    for name, kind in kinds.items():
        sizes[name] = -1 if kind is None else np.dtype(kind).itemsize
        record.append((f"{name}_size", ">i4"))
        if kind is not None:
            record.append((name, kind))
    return sizes, np.dtype(record)


_SIZES, _ROW = _layout()
