"""Adding up in order, without the dust of a plain sum.

What is added up is the distance from the first value of each group: equal values average to themselves to the last
digit, where a plain sum would show a reading of 61.2 as 61.19999999999994. The order of the values decides the last
bits, so callers sort by time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def distances(value: Values, group: Counts, n_groups: int) -> tuple[Values, Values]:
    """Each group's first value (NaN where it has none), and the sum of the distances of its values from it."""
    first = np.full(n_groups, np.nan)
    first[group[::-1]] = value[::-1]  # of several, the last one written stays: the first in order
    return first, np.bincount(group, value - first[group], n_groups).astype(np.float64)


def means(value: Values, of: Truths, group: Counts, n_groups: int) -> Values:
    """The mean of the values *of* each group; NaN where there are none."""
    group, value = group[of], value[of]
    count = np.bincount(group, None, n_groups)
    first, distance = distances(value, group, n_groups)
    mean: Values = first + np.divide(distance, count, out=np.zeros(n_groups), where=count > 0)
    return mean
