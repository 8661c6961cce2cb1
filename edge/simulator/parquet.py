"""A works into a Parquet file, without a broker: one row a stack and step, as its loggers would send it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edge.simulator.analyser import SIGNALS
from edge.simulator.loggers import rows_of
from edge.simulator.works import Works


def write_works(works: Works, until_ms: int, file: Path, on_rows: Callable[[int], None] = lambda _: None) -> int:
    """Write the rows of `[begin, until)` and return their number. A flag of one channel is the column `flag_CHANNEL`.

    The file is there when it is whole.
    """
    schema = _schema(works)
    unfinished = file.with_suffix(".unfinished")
    total = 0
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for block, _ in works.blocks(works.begin, until_ms):
            frame, rows = rows_of(works, block, works.faults)
            if rows:
                writer.write_table(_table(frame, rows, schema))
                total += rows
                on_rows(rows)
    unfinished.replace(file)
    return total


def _schema(works: Works) -> Any:
    analysers = works.analysers
    measured = [name for name, where in zip(analysers.channels, analysers.measured, strict=True) if where.any()]
    word = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [("stack", word), ("sampled_at", pa.timestamp("ms", "UTC")), ("interval_s", pa.int32())]
        + [("state", word), ("flag", word)]
        + [(name, pa.float64()) for name in (*measured, *SIGNALS)]
        + [(f"flag_{name}", word) for name in measured]
    )


def _table(frame: Mapping[str, Any], rows: int, schema: Any) -> Any:
    flags = {f"flag_{channel}": letters for channel, letters in frame.get("flags", {}).items()}
    columns = []
    for column in schema:
        value = flags.get(column.name) if column.name.startswith("flag_") else frame[column.name]
        listed = value if isinstance(value, list) else [value] * rows
        columns.append(pa.array(listed, column.type))
    return pa.Table.from_arrays(columns, schema=schema)
