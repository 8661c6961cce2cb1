"""Noise by number: the value of a stream at an index, without a generator that has to be wound forward.

A hash of (stream, index) gives every step its own randomness, so a month computed at once and a month computed
step by step are the same to the last bit, and a stack is the same whoever its neighbours are. Only additions and
multiplications of doubles are used: they round alike in any chunk and on any machine, which libraries' cosines and
logarithms do not promise. Streams stand across, instants down: shapes (m,) and (n,) give (n, m).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truths = NDArray[np.bool_]
Streams = NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_PIECE: Final = np.uint64(0xFFFF)
_PIECES: Final = 4  # a sum of four uniforms is bell-shaped and bounded at 3.46 standard deviations


def key(*parts: object) -> int:
    """The 64-bit key of a stream of noise, from whatever names it."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=65_536)  # a country of works, each asking for the same at every piece
def streams(seed: int, names: tuple[str, ...], what: str) -> Streams:
    """One stream for each of *names*."""
    keys = np.array([key(seed, name, what) for name in names], dtype=np.uint64)
    keys.flags.writeable = False
    return keys


def uniform(of: Streams, index: Ints) -> Floats:
    """Numbers in [0, 1)."""
    return np.asarray((_hashed(of, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def white(of: Streams, index: Ints) -> Floats:
    """Independent noise of mean 0 and standard deviation 1."""
    x = _hashed(of, index)
    total = x & _PIECE
    for piece in range(1, _PIECES):
        total += (x >> np.uint64(16 * piece)) & _PIECE
    scale = (12 / _PIECES) ** 0.5
    noise = total.astype(np.float64)
    noise *= scale / 65536
    noise -= scale * _PIECES * 65535 / 65536 / 2
    return noise


def smooth(of: Streams, index: Ints, period: int) -> Floats:
    """Noise that wanders: drawn every *period* indices, eased in between. *index* rises."""
    if index.size == 0:
        return np.zeros((0, of.size))
    knot = index // period
    first = int(knot[0])
    drawn = white(of, np.arange(first, int(knot[-1]) + 2, dtype=np.int64))
    share = ease((index - knot * period) / period)[:, np.newaxis]
    at = knot - first
    low = drawn[at]
    low += (drawn[at + 1] - low) * share
    return low


def ease(t: Floats) -> Floats:
    """From 0 to 1 without a kink at either end, for *t* from 0 to 1."""
    return np.asarray(t * t * (3 - 2 * t))


def _hashed(of: Streams, index: Ints) -> Streams:
    """splitmix64 of the index under each stream's key."""
    with np.errstate(over="ignore"):
        x = (index.astype(np.uint64) * _GOLDEN)[:, np.newaxis] + of[np.newaxis, :]
        x ^= x >> np.uint64(30)
        x *= _MIX_1
        x ^= x >> np.uint64(27)
        x *= _MIX_2
        x ^= x >> np.uint64(31)
    return x
