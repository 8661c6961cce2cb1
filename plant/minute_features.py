"""One channel of one instrument within the hour: how its minutes follow one another, and digests of ten of them.

Beside `plant.channel_features`, which has the hour as a whole.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from plant.hour_rows import Hours, Kept
from plant.periods import MINUTE, SECOND
from plant.readings import Counts, Truths, Values

SETTLE_MIN: Final = 10
"""Minutes after a calibration or a claim in which the sampling line still answers to what was fed to it. An answer
within 200 s to 90 % (HJ 75, sheet 3.7, K-H) has from a span gas of most of the range come to a five hundredth of it,
the noise of an analyser, after nine minutes: 200 s / ln 10 * ln 500."""

BESIDE: Final = 5  #: minutes on each side of a step over which its two levels are taken
BESIDE_LEAST: Final = 4  #: of them must be known: one or two could be those of a ramp
BLOCK_MIN: Final = 10
BLOCKS: Final = 60 // BLOCK_MIN
BLOCK_ROWS: Final = 5  #: fewer values of ten minutes may be equal by chance
BLOCK_GRAINS: Final = 3
"""Values of ten minutes that move over fewer steps of their resolution may be equal by chance: with four levels a third
of the rows agree anyway, so ten of ten do once in 60,000 blocks, and three blocks in a row never."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_EXACT: Final = np.uint64(2**52 - 1)  # a double holds it to the last bit


def steps(kept: Kept, hours: Hours, minute: Counts, disturbed: Counts) -> dict[str, Values]:
    """The largest change between neighbouring minute means, away from calibrations and claims."""
    n = hours.n_hours
    grid = np.full(n * 60, np.nan)
    if kept.hours.size:
        begins = np.append(0, np.flatnonzero(minute[1:] != minute[:-1]) + 1)
        grid[minute[begins]] = _minute_means(kept, begins)
    if disturbed.size:
        grid[_settling(hours, disturbed)] = np.nan
    by_hour = grid.reshape(n, 60)
    change = np.abs(np.diff(by_hour, axis=1))
    change[np.isnan(change)] = -1.0
    where = change.argmax(axis=1)
    step = change[np.arange(n), where]
    found = step >= 0
    return {
        "minute_first": by_hour[:, 0].copy(),
        "minute_last": by_hour[:, 59].copy(),
        "step": np.where(found, step, np.nan),
        "step_minute": np.where(found, where + 1.0, np.nan),
        "step_before": np.where(found, _mean_of(by_hour, where[:, None] - np.arange(BESIDE)), np.nan),
        "step_after": np.where(found, _mean_of(by_hour, where[:, None] + 1 + np.arange(BESIDE)), np.nan),
    }


def _minute_means(kept: Kept, begins: Counts) -> Values:
    if begins.size == kept.value.size:
        return kept.value
    first = kept.value[begins]
    distance = (kept.value - np.repeat(first, np.diff(np.append(begins, kept.value.size)))) * kept.seconds
    mean: Values = first + np.add.reduceat(distance, begins) / np.add.reduceat(kept.seconds, begins)
    return mean


def _settling(hours: Hours, disturbed: Counts) -> Truths:
    """Minutes of the hours in which a row of *disturbed* lies, or in which the line recovers from one."""
    minute = hours.minute[disturbed]
    end = (hours.offset[disturbed] + (hours.seconds[disturbed] * SECOND).astype(np.int64) + MINUTE - 1) // MINUTE
    end = np.minimum(end + SETTLE_MIN, (minute // 60 + 1) * 60)
    edges = np.bincount(minute, None, hours.n_hours * 60 + 1) - np.bincount(end, None, hours.n_hours * 60 + 1)
    settling: Truths = np.cumsum(edges[:-1]) > 0
    return settling


def _mean_of(by_hour: Values, minutes: Counts) -> Values:
    inside = (minutes >= 0) & (minutes < 60)
    value = by_hour[np.arange(by_hour.shape[0])[:, None], np.where(inside, minutes, 0)]
    inside &= ~np.isnan(value)
    count = inside.sum(axis=1)
    total = np.where(inside, value, 0.0).sum(axis=1)
    mean: Values = np.divide(total, count, out=np.full(count.size, np.nan), where=count >= BESIDE_LEAST)
    return mean


def digests(kept: Kept, hours: Hours, usual: Truths, grain: Values) -> dict[str, Values]:
    """By ten minutes of the hour, a number that two runs of values share when they are the same to the last bit.

    NaN where there are too few values, or where they move so little that chance alone could make them equal.
    """
    n = hours.n_hours * BLOCKS
    out = np.full(n, np.nan)
    if kept.hours.size:
        block = hours.minute[usual] // BLOCK_MIN
        begins = np.append(0, np.flatnonzero(block[1:] != block[:-1]) + 1)
        which = block[begins]
        moves = np.maximum.reduceat(kept.value, begins) - np.minimum.reduceat(kept.value, begins)
        enough = np.diff(np.append(begins, block.size)) >= BLOCK_ROWS
        # Steps of a resolution are not whole in binary: half a step below is still that many.
        enough &= moves > (BLOCK_GRAINS - 0.5) * grain[which // BLOCKS]
        mixed = _mixed((kept.value + 0.0).view(np.uint64), hours.slot[usual].astype(np.uint64))
        digest = np.add.reduceat(mixed, begins) & _EXACT
        out[which[enough]] = digest[enough].astype(np.float64)
    return {f"block{i}": out[i::BLOCKS].copy() for i in range(BLOCKS)}


def _mixed(bits: npt.NDArray[np.uint64], slot: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64 of each value at its place."""
    with np.errstate(over="ignore"):
        slot *= _GOLDEN
        bits ^= slot
        bits ^= bits >> np.uint64(30)
        bits *= _MIX_1
        bits ^= bits >> np.uint64(27)
        bits *= _MIX_2
        bits ^= bits >> np.uint64(31)
    return bits
