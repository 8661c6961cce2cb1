"""Shape 3, rows by column, read column by column.

A column is checked and turned into an array as a whole. Whatever is not plainly right makes its rows *doubted*, and a
doubted row is read on its own by `ingestor.rows`, which takes it or says why not: so a frame and a list of the same
rows are told the same. A frame in which nothing is wrong never meets Python row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import AllowInfNan, Strict, TypeAdapter, ValidationError

from ingestor import cells
from ingestor.cells import Bad, shown
from ingestor.rows import HEAD, ROW_KEYS, Refusal, RowReader, refusal
from plant.blocks import MAIN, STATE_CODES, Block, Bytes, Extra, Extras, Floats, Ints, Truths, block_of, extras, join
from plant.channels import CHANNELS, FLAGS
from plant.errors import Undecodable
from plant.identifiers import is_identifier
from plant.merging import NEVER
from plant.periods import Instants

_Number = Annotated[float, Strict(), AllowInfNan(False)] | None
_NUMBERS: Final = TypeAdapter(list[_Number])
_TABLE: Final = TypeAdapter(list[list[_Number]])
_LETTERS: Final[Mapping[str | None, int]] = {letter: ord(letter) for letter in FLAGS}
_ROW_LETTERS: Final[Mapping[str | None, int]] = {None: ord("N"), **_LETTERS}
_OWN_LETTERS: Final[Mapping[str | None, int]] = {None: 0, **_LETTERS}
_OWN_COLUMN: Final = frozenset(CHANNELS)
_HEAD: Final = frozenset(HEAD)
_ROW_KEYS: Final = frozenset(ROW_KEYS)
_USUAL: Final = frozenset({*CHANNELS, *HEAD, *ROW_KEYS})

Numbers = list[float | None]


@dataclass(frozen=True, slots=True)
class Frame:
    """The columns of a frame, all of one length; what is constant is kept once."""

    n_rows: int
    lists: Mapping[str, list[Any]]  #: of the keys of a row
    constants: Mapping[str, Any]
    channels: Mapping[str, list[Any]]
    flags: Mapping[str, Any]  #: by channel: a list, or one for all

    def column(self, key: str) -> Any:
        """A list, or what stands for all rows; None where nothing does."""
        return self.lists[key] if key in self.lists else self.constants.get(key)

    def row(self, index: int) -> dict[str, Any]:
        """One row in the form of shape 1."""
        columns = (*self.lists.items(), *self.channels.items())
        row = {**self.constants, **{key: column[index] for key, column in columns}}
        if self.flags:
            letters = {c: column[index] if isinstance(column, list) else column for c, column in self.flags.items()}
            row["flags"] = {channel: letter for channel, letter in letters.items() if letter is not None}
        return row


def frame_of(document: Mapping[str, Any], row_keys: Collection[str] = _ROW_KEYS) -> Frame:
    """The columns of *document*.

    Raises
    ------
    Undecodable
        If they do not fit each other: then nobody can say which value belongs to which row.
    """
    times = document.get("sampled_at")
    if not isinstance(times, list):
        raise Undecodable("sampled_at of a frame must be a list with an entry for each row")
    n_rows = len(times)
    if n_rows == 0:
        raise Undecodable("a frame without rows")
    lists: dict[str, list[Any]] = {}
    constants: dict[str, Any] = {}
    channels: dict[str, list[Any]] = {}
    flags: Mapping[str, Any] = {}
    for key, value in document.items():
        if key not in _USUAL:
            _check_name(key)
        if key == "flags" and key in row_keys:
            flags = _checked_flags(value, n_rows)
        elif isinstance(value, list):
            if key in _HEAD:
                raise Undecodable(f"{key} is one value for the frame, not a list")
            if len(value) != n_rows:
                raise Undecodable(f"lists of unequal length: sampled_at has {n_rows} entries, {key} has {len(value)}")
            (lists if key in row_keys else channels)[key] = value
        elif key in row_keys and key != "sent_at":
            constants[key] = value
        elif key not in _HEAD:
            raise Undecodable(f"{key} of a frame must be a list with an entry for each row")
    return Frame(n_rows, lists, constants, channels, flags)


def _check_name(name: str, where: str = "") -> None:
    try:
        cells.check_channel_name(name)
    except Bad as error:
        raise Undecodable(f"{where}{error}") from error


def _checked_flags(flags: Any, n_rows: int) -> Mapping[str, Any]:
    if flags is None:
        return {}
    if not isinstance(flags, dict):
        raise Undecodable(f"flags of a frame must be a table of lists by channel, not {shown(flags)}")
    for channel, column in flags.items():
        _check_name(channel, "flags: ")
        if isinstance(column, list) and len(column) != n_rows:
            raise Undecodable(
                f"lists of unequal length: sampled_at has {n_rows} entries, flags.{channel} {len(column)}"
            )
    return flags


def read_frame(frame: Frame, reader: RowReader) -> tuple[Block, list[Refusal]]:
    """The good rows of *frame*, and what became of the others, in their order."""
    if "stack" not in frame.lists and "stack" not in frame.constants:
        raise Undecodable("a frame without stack")
    columns = _Columns(frame, reader, np.zeros(frame.n_rows, dtype=bool))
    block = columns.block()
    if not columns.doubted.any():
        return block, []
    return _with_doubted(frame, reader, block, columns.doubted)


def _with_doubted(frame: Frame, reader: RowReader, block: Block, doubted: Truths) -> tuple[Block, list[Refusal]]:
    """*block* without its doubted rows, and with those that are good after all."""
    good, places, refused = [], [], []
    for index in np.flatnonzero(doubted).tolist():
        row = frame.row(index)
        try:
            good.append(reader.read(row))
            places.append(index)
        except Bad as error:
            refused.append(refusal(index, row, str(error)))
    sure = np.flatnonzero(~doubted)
    block = block.take(sure)
    if good:
        order = np.argsort(np.concatenate([sure, np.array(places, dtype=np.intp)]))
        block = join([block, block_of(good)]).take(order)
    return block, refused


@dataclass(frozen=True, slots=True)
class _Columns:
    """Reads the columns of one frame; what is not plainly right is noted in `doubted`."""

    frame: Frame
    reader: RowReader
    doubted: Truths

    def block(self) -> Block:
        values, other_values = self._channels()
        flag = self._coded(self.frame.column("flag"), _ROW_LETTERS, np.uint8)
        flags, other_flags = self._flags(flag)
        stack_id, interval_s = self._stacks()
        instrument, instruments = self._instruments()
        return Block(
            stack_id=stack_id,
            sampled_at=self._times(),
            interval_s=interval_s,
            revision=self._each("revision", cells.revision, np.int32),
            sent_at=_filled(self.frame.n_rows, NEVER if self.reader.sent_at is None else self.reader.sent_at, np.int64),
            flag=flag,
            state=self._coded(self.frame.column("state"), STATE_CODES, np.uint8),
            instrument=instrument,
            instruments=instruments,
            values=values,
            flags=flags,
            extra=self._extra(other_values, other_flags),
        )

    def _channels(self) -> tuple[dict[str, Floats], dict[str, Numbers]]:
        """Values by channel: those with a column of their own, and the others."""
        channels = self.frame.channels
        own = [name for name in channels if name in _OWN_COLUMN]
        others = {name: self._numbers(column) for name, column in channels.items() if name not in _OWN_COLUMN}
        # numpy reads None as NaN. Adding zero leaves one zero: what is the same must have the same bytes.
        table = np.array(self._tables([channels[name] for name in own]), dtype=np.float64) + 0.0
        return dict(zip(own, table, strict=True)), others

    def _tables(self, columns: list[list[Any]]) -> list[Numbers]:
        """Many columns at once, as `_numbers` reads each."""
        try:
            return _TABLE.validate_python(columns)
        except ValidationError:
            return [self._numbers(column) for column in columns]

    def _numbers(self, column: list[Any]) -> Numbers:
        """Finite numbers or null; rows with anything else are doubted."""
        try:
            return _NUMBERS.validate_python(column)
        except ValidationError:
            return [self._number(index, value) for index, value in enumerate(column)]

    def _number(self, index: int, value: Any) -> float | None:
        try:
            return cells.number("", value)
        except Bad:
            self.doubted[index] = True
            return None

    def _times(self) -> Instants:
        column = self.frame.lists["sampled_at"]
        try:
            ms = np.array(_NUMBERS.validate_python(column), dtype=np.float64)
        except ValidationError:
            np.logical_or(self.doubted, [at is None for at in column], out=self.doubted)
            return self._check_newest(self._each("sampled_at", cells.instant, np.int64))
        possible = (ms >= 0) & (ms < cells.LAST_MS)  # NaN is not: there is no time
        if not possible.all():
            np.logical_or(self.doubted, ~possible, out=self.doubted)
            ms[~possible] = 0.0
        return self._check_newest(np.rint(ms * 1000).astype(np.int64))

    def _check_newest(self, times: Instants) -> Instants:
        if self.reader.newest is not None:
            np.logical_or(self.doubted, times > self.reader.newest, out=self.doubted)
        return times

    def _stacks(self) -> tuple[Ints, Ints]:
        """(stack_id, interval_s), the interval that of its stack where none is said."""
        column = self.frame.column("stack")
        site = self.reader.site
        stack_id = self._coded(column, site.stack_ids, np.int32)
        said = self.frame.column("interval_s")
        if said is not None and not (isinstance(said, list) and None in said):
            return stack_id, self._each("interval_s", cells.interval, np.int32)
        usual = self._coded(column, site.intervals_s, np.int32)
        if said is None:
            return stack_id, usual
        interval_s = self._each("interval_s", cells.interval, np.int32)
        return stack_id, np.where([value is None for value in said], usual, interval_s)

    def _instruments(self) -> tuple[Ints, tuple[str, ...]]:
        column = self.frame.column("instrument")
        if column is None:
            return np.zeros(self.frame.n_rows, np.int32), (MAIN,)
        names = {name: cells.instrument(name) for name in _distinct(column) if name is None or is_identifier(name)}
        instruments = tuple(sorted(set(names.values())))
        return self._coded(column, {n: instruments.index(name) for n, name in names.items()}, np.int32), instruments

    def _flags(self, flag: Bytes) -> tuple[dict[str, Bytes], dict[str, Bytes]]:
        """Flags that are another than their row's: those of channels with a column, and the others'."""
        own: dict[str, Bytes] = {}
        others: dict[str, Bytes] = {}
        for channel, column in self.frame.flags.items():
            letters = self._coded(column, _OWN_LETTERS, np.uint8)
            letters[letters == flag] = 0
            if letters.any():
                (own if channel in _OWN_COLUMN else others)[channel] = letters
        return own, others

    def _extra(self, others: Mapping[str, Numbers], flags: Mapping[str, Bytes]) -> Extras | None:
        if not others and not flags:
            return None
        by_row: list[Extra | None] = []
        for index in range(self.frame.n_rows):
            values = {name: value + 0.0 for name, column in others.items() if (value := column[index]) is not None}
            letters = {name: chr(column[index]) for name, column in flags.items() if column[index]}
            by_row.append(Extra(values, letters) if values or letters else None)
        return extras(by_row)

    def _coded(self, column: Any, codes: Mapping[Any, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Each value's code; rows with a value that has none are doubted."""
        n_rows = self.frame.n_rows
        if not isinstance(column, list):
            code = _code(codes, column)
            if code < 0:
                self.doubted[:] = True
            return _filled(n_rows, max(code, 0), dtype)
        try:
            return np.fromiter(map(codes.__getitem__, column), dtype, n_rows)
        except (KeyError, TypeError):
            found = np.fromiter((_code(codes, value) for value in column), np.int64, n_rows)
            np.logical_or(self.doubted, found < 0, out=self.doubted)
            return np.maximum(found, 0).astype(dtype)

    def _each(self, key: str, read: Callable[[Any], int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Each value as *read* has it, 0 for null; rows with a value that it refuses are doubted."""
        column = self.frame.column(key)
        if not isinstance(column, list):
            value = self._one(slice(None), read, column)
            return _filled(self.frame.n_rows, value, dtype)
        return np.array([self._one(index, read, value) for index, value in enumerate(column)], dtype)

    def _one(self, place: int | slice, read: Callable[[Any], int], value: Any) -> int:
        if value is None:
            return 0
        try:
            return read(value)
        except Bad:
            self.doubted[place] = True
            return 0


def _filled(n_rows: int, value: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """`np.full` in a third of its time, which counts where a frame is small."""
    column = np.empty(n_rows, dtype)
    column.fill(value)
    return column


def _code(codes: Mapping[Any, int], value: Any) -> int:
    """The code of *value*, -1 where it has none."""
    return codes.get(value, -1) if value is None or isinstance(value, str) else -1


def _distinct(column: Any) -> set[Any]:
    """The different values of *column* that may be names."""
    values = column if isinstance(column, list) else [column]
    try:
        return set(values)
    except TypeError:
        return {value for value in values if value is None or isinstance(value, str)}
