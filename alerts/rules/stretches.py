"""Counting over the hours up to each, for rules that ask how often or how long."""

from __future__ import annotations

import numpy as np

from plant.readings import Counts, Truths


def of_last(values: Counts | Truths, n_hours: int) -> Counts:
    """The sum over each hour and the *n_hours* - 1 before it, or as many as there are."""
    total = np.concatenate([[0], np.cumsum(values)])
    ends = np.arange(1, total.size)
    return np.asarray(total[ends] - total[np.maximum(ends - n_hours, 0)], dtype=np.int64)


def in_a_row(found: Truths, n_hours: int) -> Truths:
    """Hours that end a run of *n_hours* found ones or more."""
    return np.asarray(of_last(found, n_hours) == n_hours)
