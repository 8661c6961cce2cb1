"""Arrays that the database made and sent as it would send them to another database, read as numpy's."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item", bound=np.generic)

_HEAD: Final = 20  # bytes before the first item of an array of one dimension
_WORD: Final = np.dtype(">i4")  # before each item: how long it is


def items(body: bytes, sent: str, kind: type[Item]) -> npt.NDArray[Item]:
    """The items of `array_send(array)`, an array without nulls; *sent* is their numpy type in PostgreSQL's format."""
    record = np.dtype([("length", _WORD), ("item", sent)])
    return np.frombuffer(body, dtype=record, offset=_HEAD)["item"].astype(kind)
