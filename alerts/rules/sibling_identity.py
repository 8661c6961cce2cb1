"""Two instruments show the same to the last digit.

What it says    the values of a channel were the same, row by row and to the last digit, as those of the same channel of
                another stack of the site, or of another instrument of this one, for half an hour or more.
Why it matters  no two analysers have the same noise. One of the two series is a copy.
Not for         values that stand still or hardly move: chance makes those equal (see `plant.minute_features`); rows
                that are more than two minutes apart: there are too few of them.
Source          identical data between instruments are a common item of guides (regulation sheet, 8.3, K-M); half an
                hour [D].

Rows are compared by digests of whole ten minutes and by their place in them, so two clocks may differ by less than an
interval. Both stacks get an alert.

What else explains it    one analyser that serves two stacks in turn and is registered at both; a register that gives
one instrument two names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import MAJOR, Life, Outcomes, Rule, levels
from alerts.rules.usual import other_than_first
from plant.minute_features import BLOCK_MIN, BLOCKS
from plant.readings import Counts, Truths, Values

LEAST_BLOCKS: Final = 3  #: in a row
_NAMES: Final = tuple(f"block{i}" for i in range(BLOCKS))

_Blocks = Mapping[str, Values]


def judge(history: History) -> Iterator[Outcomes]:
    """Each channel of each instrument that has digests, against all the others of its name."""
    stack = history.stack.code
    own = {key: blocks for key, blocks in history.channels.items() if "block0" in blocks}
    others = {(stack, *key): blocks for key, blocks in own.items()} | dict(history.siblings)
    for (instrument, channel), blocks in own.items():
        rivals = {key: of for key, of in others.items() if key[2] == channel and key[:2] != (stack, instrument)}
        # Without any the hour is clear: another that falls silent ends what was found.
        yield _outcomes(history, instrument, channel, blocks, rivals)


def _outcomes(
    history: History, instrument: str, channel: str, blocks: _Blocks, rivals: Mapping[tuple[str, str, str], _Blocks]
) -> Outcomes:
    same = {key: equal for key, of in rivals.items() if (equal := _equal(blocks, of)) is not None}
    in_a_row = np.zeros(history.n_hours, dtype=np.int64)
    for equal in same.values():
        in_a_row = np.maximum(in_a_row, _in_a_row(equal))
    known = np.sum([~np.isnan(blocks[name]) for name in _NAMES], axis=0) >= LEAST_BLOCKS

    def evidence(at: int) -> Mapping[str, Any]:
        counts = {key: int(equal[at].sum()) for key, equal in same.items()}
        return {
            "instrument": instrument,
            "same_as": [
                {"stack": stack, "instrument": name, "blocks": n} for (stack, name, _), n in counts.items() if n
            ],
            "block_minutes": BLOCK_MIN,
        }

    return Outcomes(
        level=levels(in_a_row >= LEAST_BLOCKS, np.asarray(known) | (in_a_row >= LEAST_BLOCKS), MAJOR),
        observed=(in_a_row * BLOCK_MIN).astype(np.float64),
        limit=np.full(history.n_hours, float(LEAST_BLOCKS * BLOCK_MIN)),
        evidence=evidence,
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _equal(blocks: _Blocks, others: _Blocks) -> Truths | None:
    """By hour and block, shape (n_hours, BLOCKS); None where none is: NaN is equal to nothing."""
    each = [blocks[name] == others[name] for name in _NAMES]
    return np.stack(each, axis=1) if any(equal.any() for equal in each) else None


def _in_a_row(hours: Truths) -> Counts:
    """By the hour, how many blocks in a row are equal up to one of it, followed back into the hour before."""
    before = np.concatenate([np.zeros((1, BLOCKS), dtype=bool), hours[:-1]])
    two = np.concatenate([before, hours], axis=1)
    place = np.arange(two.shape[1])
    last_other = np.maximum.accumulate(np.where(two, -1, place), axis=1)
    run = np.where(two, place - last_other, 0)
    return np.asarray(run[:, BLOCKS:].max(axis=1))


RULE: Final = Rule(
    name="sibling_identity",
    judge=judge,
    unit="min",
    clause="regulation sheet 8.3: two instruments or outlets equal to the last digit for 30 min [D]",
    reach_h=1,
    lead=True,
    life=Life(keep_h=6),
)
