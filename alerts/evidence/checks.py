"""What checking an exported file finds: one sentence a check, and whether it holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

REL_TOL: Final = 1e-12
"""Numbers are written with every digit; another machine's arithmetic may differ in the last one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    holds: bool | None  #: None: it was not redone, and `said` says why
    said: str

    def __str__(self) -> str:
        return f"{self.what}: {self.said}"


def found(what: str, said: str) -> Check:
    """Something that does not hold."""
    return Check(what, False, said)


def not_redone(what: str, why: str) -> Check:
    return Check(what, None, why)


def compared(what: str, stated: Any, redone: Any, *, by: str) -> Check:
    """*stated* in the file against what *by* ("the rows give") makes of it."""
    if same(stated, redone):
        return Check(what, True, f"{shown(stated)}, as {by}")
    return found(what, f"the file says {shown(stated)}, {by} {shown(redone)}")


def compared_all(
    stated: Mapping[str, Any], redone: Mapping[str, Any], *, by: str, prefix: str = "", unknown: Iterable[str] = ()
) -> Iterator[Check]:
    """Every name of both. *unknown* are names that only the database could give."""
    for name in redone:
        yield compared(prefix + name, stated.get(name), redone[name], by=by)
    for name in stated:
        if name not in redone and name not in set(unknown):
            yield found(prefix + name, f"the file says {shown(stated[name])}, {by} nothing of that name")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=REL_TOL, abs_tol=REL_TOL)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if _is_list(one) and _is_list(other):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
