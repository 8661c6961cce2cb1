"""What the status words of a device claim: flags of HJ 212 table 8 and source states (contract, section 3).

    bits = { 0 = "D", 4 = "C" }             a set bit says a flag or a state
    clear_bits = { 15 = "stopped" }         a bit that is not set does
    values = { 1 = "running", 7 = "M" }     the whole number (behind `mask`) does
    otherwise = "D"                         what a number that `values` does not name says

Several flags at once become one by a fixed order: one that takes a value out of the means goes before `T`, by which a
value still counts as a lower bound. Of several states at once the one that excludes least counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plant.channels import FLAGS, STATES
from plant.reading import Reader

PRECEDENCE: Final = "BDFMCSTN"
STATE_PRECEDENCE: Final = ("running", "starting", "stopping", "banked", "stopped")
UNREAD: Final = "B"
"""HJ 212 table 8: communication between instrument and logger failed. What could not be read is null with this flag."""
OVER_RANGE: Final = "T"
_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWord:
    of: tuple[str, ...] = ()  #: channels and signals it speaks of; none: the whole row
    mask: int = (1 << _BITS) - 1
    bits: Mapping[int, str] = field(default_factory=dict)
    clear_bits: Mapping[int, str] = field(default_factory=dict)
    values: Mapping[int, str] = field(default_factory=dict)
    otherwise: str | None = None

    def says(self, raw: int) -> tuple[str, ...] | None:
        """Flags and states that *raw* claims; None where `values` does not know it."""
        said = [word for bit, word in self.bits.items() if raw >> bit & 1]
        said += [word for bit, word in self.clear_bits.items() if not raw >> bit & 1]
        if self.values:
            word = self.values.get(self._masked(raw), self.otherwise)
            if word is None:
                return None
            said.append(word)
        return tuple(said)

    def _masked(self, raw: int) -> int:
        """The bits under the mask, as a number of their own."""
        lowest = (self.mask & -self.mask).bit_length() - 1
        return (raw & self.mask) >> lowest


@dataclass(slots=True)
class Claims:
    """What all status words of a group claim of one row."""

    row: set[str] = field(default_factory=set)
    by_name: dict[str, set[str]] = field(default_factory=dict)

    def add(self, of: Sequence[str], words: Iterable[str]) -> None:
        words = set(words)
        for name in of:
            self.by_name.setdefault(name, set()).update(words & FLAGS)
        self.row |= words - FLAGS if of else words

    def of_row(self, precedence: str) -> str:
        return _first(self.row & FLAGS, precedence)

    def of_channel(self, precedence: str, name: str, own: Iterable[str]) -> str:
        """With what its own reading says, and what is said of the whole row."""
        return _first((self.row & FLAGS).union(self.by_name.get(name, ()), own), precedence)

    def of_signal(self, precedence: str, name: str, own: Iterable[str]) -> str:
        """What is said of the row is said of an instrument: a signal has none of it."""
        return _first({*self.by_name.get(name, ()), *own}, precedence)

    def state(self) -> str | None:
        return min(self.row & set(STATES), key=STATE_PRECEDENCE.index, default=None)


def _first(letters: Iterable[str], precedence: str) -> str:
    return min(letters, key=precedence.index, default="N")


def read_status_word(table: Reader) -> StatusWord:
    """The keys `of`, `mask`, `bits`, `clear_bits`, `values` and `otherwise` of *table*."""
    otherwise = table.one_of("otherwise", (*sorted(FLAGS), *STATES)) if "otherwise" in table else None
    word = StatusWord(
        of=table.texts("of", ()),
        mask=table.whole("mask", (1 << _BITS) - 1, low=1, high=(1 << _BITS) - 1),
        bits=_words(table, "bits", _BITS - 1),
        clear_bits=_words(table, "clear_bits", _BITS - 1),
        values=_words(table, "values", (1 << _BITS) - 1),
        otherwise=otherwise,
    )
    if not (word.bits or word.clear_bits or word.values):
        table.fault("", "says nothing: write bits, clear_bits or values")
    if otherwise is not None and not word.values:
        table.fault("otherwise", "is for numbers that values does not name, and there is no values")
    if word.of and any(said in STATES for said in _all_words(word)):
        table.fault("of", "a state is one of the whole row: write it in a status without of")
    return word


def read_precedence(table: Reader) -> str:
    """The key `precedence` of *table*: all eight flags, the one that wins first."""
    written = table.text("precedence", PRECEDENCE)
    if sorted(written) != sorted(FLAGS):
        table.fault("precedence", f"must name each of {' '.join(PRECEDENCE)} once, such as {PRECEDENCE}")
        return PRECEDENCE
    return written


def _words(table: Reader, key: str, highest: int) -> Mapping[int, str]:
    """A table from a number to a flag or a state."""
    found: dict[int, str] = {}
    inner = table.table(key)
    for name in inner.names():
        number = _number(name)
        if number is None or number > highest:
            inner.fault(name, f"must be a whole number from 0 to {highest}")
        elif number in found:
            inner.fault(name, f"says {number} again")
        else:
            found[number] = inner.one_of(name, (*sorted(FLAGS), *STATES))
        inner.raw(name)
    return found


def _number(name: str) -> int | None:
    try:
        number = int(name, 0)
    except ValueError:
        return None
    return number if number >= 0 else None


def _all_words(word: StatusWord) -> Iterable[Any]:
    return (*word.bits.values(), *word.clear_bits.values(), *word.values.values(), word.otherwise)
