"""A works of two sinter heads whose history lies in a folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from plant.packs import outlets_by_pack
from plant.register import Register, parse_register

_HEAD: Final = """
[[region]]
code = "north"
name = "North"
[[site]]
code = "works"
name = "Works"
region = "north"
timezone = "Asia/Shanghai"
"""


def two_heads(second: str = "B", *, interval_s: int = 60) -> str:
    """The register of stacks A and *second*, which has a backup instrument."""
    stacks = "".join(
        f"""
  [[site.stack]]
  code = "{code}"
  name = "{code}"
  process = "sinter_head"
  packs = ["cn-steel-ule-2019"]
  interval_s = {interval_s}
  judged_from = {instruments}
"""
        for code, instruments in (("A", '["main"]'), (second, '["main", "backup"]'))
    )
    return _HEAD + stacks


def registered(text: str) -> Register:
    return parse_register(text, "register", packs=outlets_by_pack())


def write_rows(folder: Path, begin: datetime, so2: list[float], *, step: timedelta, **more: Any) -> None:
    """Rows of stack A, one each *step* from *begin*, as the file of the works."""
    n = len(so2)
    at = pa.array([begin + step * place for place in range(n)], pa.timestamp("us", "UTC"))
    columns = {"stack": ["A"] * n, "sampled_at": at, "so2": so2, "o2": [16.0] * n, **more}
    pq.write_table(pa.table(columns), folder / "works.parquet")
