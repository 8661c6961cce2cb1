"""What the minutes to come will keep to: the analyser's range and the outlet's oxygen, from the register.

An envelope is the condition of the bounds of `plant.bounds` and is shown with them. The register writes ranges as the
analyser shows them (ppm, wet, actual state); an envelope is in mg/m3, dry, at standard state, like minute means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from plant.readings import NORMAL, Rows, reading
from plant.register import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the mean of every minute to come will lie in: the condition of the bounds."""

    low: float  #: [mg/m3, dry, standard state, at measured oxygen]
    high: float  #: the same; infinite where no upper end of the range is known
    o2: tuple[float, float] | None = None  #: [vol %, dry]; None where the target has no base oxygen

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and self.low <= self.high):
            raise ValueError(f"no range: {self.low} to {self.high}")
        if self.o2 is not None and not (np.isfinite(self.o2).all() and self.o2[0] <= self.o2[1]):
            raise ValueError(f"no range of oxygen: {self.o2[0]} to {self.o2[1]}")


def envelope_of(
    stack: Stack, pollutant: str, *, with_oxygen: bool, o2: tuple[float, float] | None = None
) -> Envelope | None:
    """The envelope that the register of *stack* gives; None where a range that is needed is not registered.

    *o2* is the outlet's own envelope [vol %, dry]; without it the range of the oxygen analyser stands for it. The
    corners of the registered ranges go through `plant.readings` like rows: it is monotone in each channel.
    Readings below zero are expected down to the registered zero drift.
    """
    gases = ("no", "no2") if pollutant == "nox" and stack.nox_from != "nox" else (pollutant,)
    of_gas = _corners(stack, gases)
    of_oxygen = _corners(stack, ("o2",)) if with_oxygen and o2 is None else None
    if of_gas is None or (with_oxygen and o2 is None and of_oxygen is None):
        return None
    value = reading(of_gas, pollutant, stack, with_oxygen=False).value
    if of_oxygen is not None:
        oxygen = reading(of_oxygen, pollutant, stack, with_oxygen=True).o2
        o2 = float(oxygen.min()), float(oxygen.max())
    if not np.isfinite([value.min(), value.max(), *(o2 or ())]).all():
        return None
    return Envelope(low=float(value.min()), high=float(value.max()), o2=o2 if with_oxygen else None)


def _corners(stack: Stack, channels: Sequence[str]) -> Rows | None:
    """Rows at every corner of the registered ranges of *channels* and of what corrects them."""
    needed = set(channels)
    for name in channels:
        channel = stack.channel(name)
        needed |= {"moisture"} if channel.wet else set()
        needed |= {"temperature", "pressure"} if channel.actual_state else set()
    ends = []
    for name in sorted(needed):
        channel = stack.channel(name)
        if channel.range is None:
            return None
        low, high = channel.range
        if name in channels and channel.zero_drift is not None:
            low = -channel.zero_drift  # further below zero no reading counts
        ends.append((low, high))
    corners = np.array(list(product(*ends)), dtype=np.float64)
    n = len(corners)
    return Rows(
        sampled_at=np.zeros(n, dtype=np.int64),
        interval_s=np.full(n, 60, dtype=np.int64),
        not_running=np.zeros(n, dtype=bool),
        values={name: corners[:, at] for at, name in enumerate(sorted(needed))},
        flags={},
        row_flag=np.full(n, NORMAL, dtype=np.uint8),
    )
