"""How fast a backlog may leave: a token bucket in rows, with the time as an argument."""

from __future__ import annotations

from typing import Final

_BURST_S: Final = 0.25  #: of the rate; a smooth backlog leaves live frames and neighbours their place


class Bucket:
    """Rows that may leave now. A frame larger than what is there may go too: the next one waits for the debt."""

    def __init__(self, rows_per_s: float) -> None:
        if rows_per_s <= 0:
            raise ValueError(f"a rate must be above 0, got {rows_per_s}")
        self._rate = rows_per_s
        self._burst = rows_per_s * _BURST_S
        self._rows = self._burst
        self._at_s: float | None = None

    def take(self, rows: int, now_s: float) -> None:
        self._fill(now_s)
        self._rows -= rows

    def due_in_s(self, now_s: float) -> float:
        """How long until a frame may leave; 0 where it may now."""
        self._fill(now_s)
        return 0.0 if self._rows > 0 else (1.0 - self._rows) / self._rate

    def _fill(self, now_s: float) -> None:
        if self._at_s is not None:
            self._rows = min(self._burst, self._rows + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = now_s
