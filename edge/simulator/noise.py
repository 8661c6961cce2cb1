"""Noise by number: the value of a key at an index, without a generator that has to be wound forward.

A hash of (key, index) gives every minute its own randomness, so a month computed at once and a month
computed minute by minute are the same to the last bit. Only additions and multiplications of doubles are
used: they round alike in any chunk and on any machine, which libraries' cosines and logarithms do not promise.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_DRAWS: Final = 4  # a sum of four uniforms is bell-shaped and bounded at 3.46 standard deviations


def key(*parts: object) -> int:
    """The 64-bit key of a stream of noise, from whatever names it."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def uniform(stream: int, index: Ints) -> Floats:
    """Numbers in [0, 1) (shape of *index*): splitmix64 of the index under the stream's key."""
    with np.errstate(over="ignore"):
        x = index.astype(np.uint64) * _GOLDEN + np.uint64(stream)
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        x = x ^ (x >> np.uint64(31))
    return np.asarray((x >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def white(stream: int, index: Ints) -> Floats:
    """Independent noise of mean 0 and standard deviation 1."""
    total = np.zeros(index.shape)
    for draw in range(_DRAWS):
        total = total + uniform(stream, index * _DRAWS + draw)
    return np.asarray((total - _DRAWS / 2) * (12 / _DRAWS) ** 0.5)


def smooth(stream: int, index: Ints, period: int) -> Floats:
    """Noise that wanders: drawn every *period* indices, eased in between."""
    knot = index // period
    t = (index - knot * period) / period
    ease = t * t * (3 - 2 * t)
    return np.asarray(white(stream, knot) * (1 - ease) + white(stream, knot + 1) * ease)
