"""Which minutes a row covers (contract, section 3): the one it starts in; one of n x 60 s covers n minutes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plant.periods import MINUTE, Instants

Counts = npt.NDArray[np.int64]


def spread(at: Instants, interval_s: Counts, first: int, n_minutes: int) -> tuple[Counts, Counts, Counts]:
    """(row, minute, seconds) of each minute that a row covers, of the *n_minutes* from the instant *first*.

    *at* and *interval_s* of shape (n_rows,); what is given back has one entry for each pair of a row and a minute, in
    the order of the rows.
    """
    long = (interval_s >= 60) & (interval_s % 60 == 0)
    n_covered = np.where(long, interval_s // 60, 1)
    row = np.repeat(np.arange(at.size), n_covered)
    nth = np.arange(row.size) - np.repeat(np.cumsum(n_covered) - n_covered, n_covered)
    minute = (at[row] - first) // MINUTE + nth
    inside = (minute >= 0) & (minute < n_minutes)
    return row[inside], minute[inside], np.minimum(interval_s, 60)[row[inside]]
