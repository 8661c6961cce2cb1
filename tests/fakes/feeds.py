"""A feed that keeps rows in memory, for sources under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from edge.columns import check_rows
from edge.orders import Orders
from edge.publisher import Publisher
from edge.sources import MEASUREMENT, Listener, Row


class MemoryFeed:
    """`rows` by kind, in the order they came. While `free` is not set `put` does not return, as with a disk that hangs;
    as in the real feed its rows are kept even where the one who puts them is cancelled."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.free = asyncio.Event()
        self.free.set()

    @property
    def publisher(self) -> Publisher:
        return cast(Publisher, None)

    @property
    def orders(self) -> Orders | None:
        return None

    async def put(
        self,
        rows: Sequence[Row],
        *,
        kind: str = MEASUREMENT,
        at_once: bool = False,
        position: tuple[str, str] | None = None,
    ) -> bool:
        check_rows(rows, kind)
        self.rows.setdefault(kind, []).extend(rows)
        await self.free.wait()
        return True

    def listen(self, listener: Listener) -> Callable[[], None]:
        raise NotImplementedError("no source under test listens")

    @property
    def measurements(self) -> list[Row]:
        return self.rows.get(MEASUREMENT, [])
