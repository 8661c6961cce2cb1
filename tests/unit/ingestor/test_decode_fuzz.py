"""The decoder against a slow and obvious one, and against bytes of any kind.

STACKWATCH_TEST_FUZZ_EXAMPLES says how many examples each test tries; some dozens are what every run does.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestor.decode import KnownSite, KnownStack, Message, decode, remains
from plant.blocks import IncomingRow
from plant.errors import Undecodable
from plant.merging import Version
from plant.periods import HOUR, MINUTE, micros
from plant.topics import Speaker

EXAMPLES: Final = int(os.environ.get("STACKWATCH_TEST_FUZZ_EXAMPLES", "60"))
fuzzed: Final = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])

SPEAKER: Final = Speaker("works", "e1", "data")
AT: Final = datetime(2026, 11, 20, tzinfo=UTC)
AT_MS: Final = micros(AT) // 1000
RECEIVED: Final = micros(AT) + HOUR
SENT_MS: Final = AT_MS + 7
SITE: Final = KnownSite(
    site_id=1,
    simulated=False,
    timezone="Asia/Shanghai",
    stacks={"DA001": KnownStack(stack_id=1, interval_s=10), "DA002": KnownStack(stack_id=2, interval_s=60)},
    units=frozenset({"S1"}),
)
LETTERS: Final = "NFMSDCTB"
STATES: Final = ("running", "stopped", "starting", "stopping", "banked")

JUNK: Final[list[Any]] = [
    True, False, "", "x", "NaN", [], [1], {}, {"v": 1},
    math.nan, math.inf, -math.inf, 10**400, -(10**30), 1e308, -1, 0, 1.5,
]  # fmt: skip
GOOD: Final[dict[str, list[Any]]] = {
    "stack": ["DA001", "DA002"],
    "sampled_at": [
        AT_MS, AT_MS + 10_000, float(AT_MS) + 0.5, 0,
        "2026-11-20T08:00:00+08:00", "2026-11-20T00:00:00.25Z", "20261120T000000Z",
    ],
    "interval_s": [None, 1, 10, 60.0, 3600],
    "instrument": [None, "main", "backup", "x" * 64],
    "flag": [None, *LETTERS],
    "state": [None, *STATES],
    "revision": [None, 0, 1, (1 << 31) - 1],
    "so2": [None, 0, -0.0, 31.2, 5e-324, 1e300, 7],
    "o2": [None, 16, 20.9],
    "chlorine": [None, 0.5, -0.0, 2],
}  # fmt: skip
BAD: Final[dict[str, list[Any]]] = {
    "stack": [None, "DA9", "da001"],
    "sampled_at": [
        None, "soon", "2026-11-20T08:00:00", "2200-01-01T00:00:00Z", AT_MS + 2 * 3_600_000, 7_258_118_400_000,
    ],
    "interval_s": [3601, "10", 3600.5],
    "instrument": ["a b", "x" * 65, 7],
    "flag": ["X", "NN", "n", 7],
    "state": ["asleep", 7],
    "revision": [1.0, 1 << 31, "1"],
    "so2": ["31.2", 1e999],
    "o2": ["16"],
    "chlorine": ["y"],
}  # fmt: skip
SCALARS: Final = ("stack", "interval_s", "instrument", "flag", "state", "revision")


def cells(name: str) -> st.SearchStrategy[Any]:
    """A cell of a column: nearly always one that can be taken."""
    good, bad = st.sampled_from(GOOD[name]), st.sampled_from(BAD[name] + JUNK)
    return st.integers(0, 9).flatmap(lambda dice: bad if dice == 0 else good)


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame whose columns fit each other, whatever is in them."""
    n = draw(st.integers(1, 6))
    frame: dict[str, Any] = {"schema": 1, "session": "s", "seq": 1}
    for name in GOOD:
        needed = name in ("stack", "sampled_at")
        how = draw(st.sampled_from(["list", "list", "scalar", "absent"]))
        if how == "scalar" and name in SCALARS:
            frame[name] = draw(cells(name).filter(lambda value: not isinstance(value, list)))
        elif how == "list" or needed:
            frame[name] = draw(st.lists(cells(name), min_size=n, max_size=n))
    if draw(st.booleans()):
        channels = draw(st.sets(st.sampled_from(["so2", "o2", "chlorine", "pm"]), max_size=3))
        letters = cells("flag").filter(lambda value: not isinstance(value, list))
        frame["flags"] = {c: draw(letters | st.lists(letters, min_size=n, max_size=n)) for c in sorted(channels)}
    if draw(st.booleans()):
        frame["sent_at"] = SENT_MS
    return frame


# The slow and obvious decoder: a row is a table of cells, each looked at by itself; None where it cannot be taken.


class NotTaken(Exception):
    pass


def row_of(frame: dict[str, Any], place: int) -> dict[str, Any]:
    def cell(column: Any) -> Any:
        return column[place] if isinstance(column, list) else column

    row = {name: cell(frame[name]) for name in GOOD if name in frame}
    if "flags" in frame:
        row["flags"] = {channel: cell(column) for channel, column in frame["flags"].items()}
    return row


def must(condition: bool) -> None:
    if not condition:
        raise NotTaken


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def the_number(value: Any) -> float | None:
    if value is None:
        return None
    must(is_number(value))
    try:
        number = float(value)
    except OverflowError:
        raise NotTaken from None
    must(math.isfinite(number))
    return 0.0 if number == 0 else number


def the_time(value: Any) -> int:
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise NotTaken from None
        must(at.tzinfo is not None)
        us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    else:
        must(is_number(value) and 0 <= value < 7_258_118_400_000)
        us = round(value * 1000)
    must(0 <= us < 7_258_118_400_000_000)
    return us


def the_letter(value: Any, default: str) -> str:
    if value is None:
        return default
    must(isinstance(value, str) and len(value) == 1 and value in LETTERS)
    return str(value)


def the_interval(value: Any, usual: int) -> int:
    if value is None:
        return usual
    must(is_number(value) and 1 <= value <= 3600 and value == int(value))  # NaN fails too
    return int(value)


def taken(row: dict[str, Any], sent_at: int | None) -> IncomingRow:
    must(isinstance(row["stack"], str) and row["stack"] in SITE.stacks)
    stack = SITE.stacks[row["stack"]]
    at = the_time(row["sampled_at"])
    must(at <= RECEIVED + 5 * MINUTE)
    instrument = "main" if row.get("instrument") is None else row["instrument"]
    must(isinstance(instrument, str) and re.fullmatch("[A-Za-z0-9_-]{1,64}", instrument) is not None)
    flag = the_letter(row.get("flag"), "N")
    flags = {channel: the_letter(own, flag) for channel, own in row.get("flags", {}).items()}
    state, revision = row.get("state"), row.get("revision")
    must(state is None or (isinstance(state, str) and state in STATES))
    must(revision is None or (type(revision) is int and 0 <= revision < 1 << 31))
    values = {name: the_number(row.get(name)) for name in ("so2", "o2", "chlorine")}
    version = Version(
        revision=revision or 0,
        sent_at=sent_at,
        interval_s=the_interval(row.get("interval_s"), stack.interval_s),
        flag=flag,
        flags={channel: own for channel, own in flags.items() if own != flag},
        state=state,
        values={name: value for name, value in values.items() if value is not None},
    )
    return IncomingRow(stack.stack_id, instrument, at, version)


def slowly(frame: dict[str, Any]) -> list[IncomingRow | None]:
    sent_at = frame["sent_at"] * 1000 if "sent_at" in frame else None
    found: list[IncomingRow | None] = []
    for place in range(len(frame["sampled_at"])):
        try:
            found.append(taken(row_of(frame, place), sent_at))
        except NotTaken:
            found.append(None)
    return found


def or_none(read: Callable[[Any], int], value: Any) -> int | None:
    try:
        return read(value)
    except NotTaken:
        return None


def quickly(document: Any) -> Message:
    return decode(json.dumps(document).encode(), SPEAKER, SITE, received_at=RECEIVED)


def same_bytes(rows: list[IncomingRow]) -> list[tuple[Any, ...]]:
    """Rows as they would be stored: 0.0 and -0.0 are not the same."""
    return [(row.stack_id, row.instrument, row.sampled_at, row.version.sent_at, row.version.body) for row in rows]


@fuzzed
@given(frames())
def test_a_frame_is_read_as_the_slow_decoder_reads_it(frame: dict[str, Any]) -> None:
    frame = json.loads(json.dumps(frame))
    expected, message = slowly(frame), quickly(frame)
    assert same_bytes(message.rows) == same_bytes([row for row in expected if row is not None])
    assert [refusal.row for refusal in message.refused] == [i for i, row in enumerate(expected) if row is None]
    assert all(refusal.reason for refusal in message.refused)
    times = [or_none(the_time, frame["sampled_at"][refusal.row]) for refusal in message.refused]
    assert [refusal.sampled_at for refusal in message.refused] == times
    assert message.n_rows == len(expected) == remains(json.dumps(frame).encode()).n_rows


@fuzzed
@given(frames())
def test_a_frame_and_a_list_of_its_rows_are_told_the_same(frame: dict[str, Any]) -> None:
    rows = [row_of(frame, place) for place in range(len(frame["sampled_at"]))]
    if "sent_at" in frame:
        rows = [row | {"sent_at": frame["sent_at"]} for row in rows]
    by_column, by_row = quickly(frame), quickly(rows)
    assert same_bytes(by_column.rows) == same_bytes(by_row.rows)
    assert by_column.refused == by_row.refused


def whatever(payload: bytes) -> None:
    """Nothing leaves but a message or `Undecodable`, and no row is lost on the way."""
    remains(payload)
    try:
        message = decode(payload, SPEAKER, SITE, received_at=RECEIVED)
    except Undecodable:
        return
    good = len(message.rows) + len(message.reports)
    places = [refusal.row for refusal in message.refused]
    assert message.n_rows == good + len(places) >= 1
    assert places == sorted(set(places))
    assert set(places) <= set(range(message.n_rows))
    assert all(refusal.reason and len(refusal.reason) < 300 for refusal in message.refused)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(JUNK),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS: Final = st.sampled_from(
    [
        "schema",
        "kind",
        "session",
        "seq",
        "low",
        "rows_before",
        "dropped_before",
        "sent_at",
        "site",
        "edge",
        "flags",
        *GOOD,
    ]
) | st.text(max_size=6)


@fuzzed
@given(
    frames(),
    st.dictionaries(KEYS, JSON | st.lists(JSON, min_size=1, max_size=6), max_size=3),
    st.sets(KEYS, max_size=2),
)
def test_a_frame_with_anything_put_in_and_anything_left_out_raises_nothing_else(
    frame: dict[str, Any], put: dict[str, Any], left_out: set[str]
) -> None:
    document = {key: value for key, value in (frame | put).items() if key not in left_out}
    whatever(json.dumps(document).encode())


REPORTED: Final[list[dict[str, Any]]] = [
    {"kind": "signal", "signal": ["a", "b"], "sampled_at": [AT_MS] * 2, "value": [1.0, None], "unit": ["S1", None]},
    {
        "kind": "reported_mean",
        "stack": "DA001",
        "channel": "so2",
        "interval_s": 60,
        "sampled_at": [AT_MS],
        "avg": [1.0],
    },
]


@fuzzed
@given(
    st.sampled_from(REPORTED),
    st.dictionaries(
        KEYS | st.sampled_from(["signal", "value", "unit", "channel", "avg", "amount", "corrected_max"]),
        JSON | st.lists(JSON, min_size=1, max_size=2),
        max_size=3,
    ),
)
def test_a_frame_of_another_kind_with_anything_put_in_raises_nothing_else(
    frame: dict[str, Any], put: dict[str, Any]
) -> None:
    whatever(json.dumps(frame | put).encode())


@fuzzed
@given(
    frames(),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=6)), min_size=1, max_size=6),
)
def test_a_frame_with_bytes_changed_raises_nothing_else(
    frame: dict[str, Any], edits: list[tuple[int, int, bytes]]
) -> None:
    payload = bytearray(json.dumps(frame).encode())
    for place, gone, put in edits:
        start = place % (len(payload) + 1)
        payload[start : start + gone] = put
    whatever(bytes(payload))


@fuzzed
@given(st.binary(max_size=400) | JSON.map(lambda document: json.dumps(document).encode()))
def test_any_bytes_and_any_json_raise_nothing_else(payload: bytes) -> None:
    whatever(payload)
