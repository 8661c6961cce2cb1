"""Recorded files, CSV or Parquet, record by record. Parquet needs pyarrow (extra `sim`); nothing else does."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plant.errors import Fault

Record = Mapping[str, Any]
_PARQUET_ROWS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: its columns, the number of its rows, and the digest of its bytes."""

    columns: tuple[str, ...] = ()
    rows: int = 0
    digest: str = ""


def inspect(file: Path, faults: list[Fault]) -> Contents:
    """Read all of *file* once; what is wrong with it is noted in *faults*."""
    if not file.is_file():
        faults.append(Fault("", "there is no such file"))
        return Contents()
    try:
        digest = _digest(file)
        if _is_parquet(file):
            from pyarrow import parquet

            with parquet.ParquetFile(file) as trace:
                return Contents(tuple(trace.schema_arrow.names), int(trace.metadata.num_rows), digest)
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            lines = csv.reader(text)
            columns = tuple(name.strip() for name in next(lines, []))
            return Contents(columns, sum(1 for line in lines if line), digest)
    except ModuleNotFoundError:
        faults.append(Fault("", "is Parquet, which needs the extra: pip install 'stackwatch[sim]'"))
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are ValueError or OSError
        faults.append(Fault("", f"cannot be read: {error}"))
    return Contents()


def records(file: Path) -> Generator[Record, None, None]:
    """The records of *file* in order. Close it when it is not read to its end."""
    return _parquet(file) if _is_parquet(file) else _csv(file)


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as raw:
        while block := raw.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _csv(file: Path) -> Generator[Record, None, None]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        lines = csv.reader(text)
        columns = [name.strip() for name in next(lines, [])]
        for line in lines:
            if line:
                yield dict(zip(columns, line, strict=False))


def _parquet(file: Path) -> Generator[Record, None, None]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as trace:
        for batch in trace.iter_batches(batch_size=_PARQUET_ROWS):
            yield from batch.to_pylist()
