"""Reading what edges sent: three shapes in, good rows and refusals out, and nothing raises but `Undecodable`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.decode import (
    MAX_ROWS,
    KnownSite,
    KnownStack,
    Message,
    UnknownSite,
    decode,
    payload_digest,
    remains,
)
from plant.errors import Undecodable
from plant.periods import HOUR, MINUTE, micros
from plant.topics import Speaker

SPEAKER: Final = Speaker("works", "e1", "data")
AT: Final = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
RECEIVED: Final = micros(AT) + HOUR
SITE: Final = KnownSite(
    site_id=1,
    simulated=False,
    timezone="Asia/Shanghai",
    stacks={"DA001": KnownStack(stack_id=1, interval_s=10), "DA002": KnownStack(stack_id=2, interval_s=60)},
)


def read(document: Any, *, site: KnownSite | None = SITE, **rest: Any) -> Message:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode(payload, SPEAKER, site, received_at=RECEIVED, **rest)


def a_row(**changes: Any) -> dict[str, Any]:
    row = {"stack": "DA001", "sampled_at": "2026-11-20T08:00:00+08:00", "so2": 31.2, "o2": 16.2}
    return {key: value for key, value in (row | changes).items() if value is not ...}


def a_frame(n: int = 2, **changes: Any) -> dict[str, Any]:
    frame = {
        "schema": 1,
        "session": "b1946ac9",
        "seq": 42,
        "stack": ["DA001"] * n,
        "sampled_at": [int(AT.timestamp() * 1000) + 10_000 * i for i in range(n)],
        "so2": [31.2] * n,
        "o2": [16.0] * n,
    }
    return {key: value for key, value in (frame | changes).items() if value is not ...}


# The contract's own examples.


def test_shape_1_of_the_contract_is_one_row() -> None:
    message = read(
        b'{"stack": "DA001", "sampled_at": "2026-11-20T08:00:00+08:00",'
        b' "so2": 31.2, "nox": 44.0, "pm": 6.1, "o2": 16.2}'
    )
    (row,) = message.rows
    assert (row.stack_id, row.instrument, row.sampled_at) == (1, "main", micros(AT))
    assert row.version.values == {"so2": 31.2, "nox": 44.0, "pm": 6.1, "o2": 16.2}
    assert (row.version.flag, row.version.flags, row.version.state, row.version.revision) == ("N", {}, None, 0)
    assert row.version.interval_s == 10
    assert (message.session, message.seq, message.refused) == (None, None, [])


def test_shape_2_is_an_array_of_shape_1() -> None:
    message = read([a_row(), a_row(stack="DA002", so2=33.0)])
    assert [(row.stack_id, row.version.values["so2"]) for row in message.rows] == [(1, 31.2), (2, 33.0)]
    assert [row.version.interval_s for row in message.rows] == [10, 60]


def test_shape_3_of_the_contract_is_rows_by_columns() -> None:
    received = 1_795_161_600_000 * 1000
    message = decode(
        b"""{"schema": 1, "session": "b1946ac9", "seq": 42, "low": 40, "rows_before": 81900, "dropped_before": 0,
        "sent_at": 1795161600000, "stack": ["DA001", "DA002"], "sampled_at": [1795161600000, 1795161600000],
        "interval_s": 10, "flag": ["N", "N"], "flags": {"pm": ["C", "N"]}, "so2": [31.2, null],
        "nox": [44.0, 47.5], "pm": [6.1, 5.0], "o2": [16.2, 16.0]}""",
        SPEAKER,
        SITE,
        received_at=received,
    )
    assert (message.session, message.seq, message.low, message.rows_before) == ("b1946ac9", 42, 40, 81_900)
    assert (message.dropped_before, message.sent_at) == (0, received)
    first, second = message.rows
    assert (first.stack_id, second.stack_id) == (1, 2)
    assert first.version.flags == {"pm": "C"}
    assert second.version.flags == {}
    assert second.version.values == {"nox": 47.5, "pm": 5.0, "o2": 16.0}
    assert {row.version.interval_s for row in message.rows} == {10}
    assert {row.version.sent_at for row in message.rows} == {received}


# What the shapes have in common.


def test_scalars_stand_for_constant_columns() -> None:
    message = read(
        a_frame(stack="DA002", flag="C", state="running", instrument="backup", interval_s=30, revision=2, n=3)
    )
    assert len(message.rows) == 3
    for row in message.rows:
        version = row.version
        assert (row.stack_id, row.instrument) == (2, "backup")
        assert (version.flag, version.state, version.interval_s, version.revision) == ("C", "running", 30, 2)


def test_null_in_flag_flags_and_state_means_the_default_in_every_shape() -> None:
    by_row = read(a_row(flag=None, flags={"so2": None, "o2": "C"}, state=None))
    by_column = read(a_frame(1, flag=[None], flags={"so2": [None], "o2": ["C"]}, state=[None]))
    for message in (by_row, by_column):
        (row,) = message.rows
        assert (row.version.flag, row.version.flags, row.version.state) == ("N", {"o2": "C"}, None)


def test_null_in_flags_falls_back_to_the_flag_of_the_row_in_every_shape() -> None:
    by_row = read(a_row(flag="C", flags={"so2": None, "o2": "N"}))
    by_column = read(a_frame(1, flag=["C"], flags={"so2": [None], "o2": ["N"]}))
    for message in (by_row, by_column):
        (row,) = message.rows
        assert (row.version.flag_of("so2"), row.version.flag_of("o2")) == ("C", "N")


def test_a_flag_equal_to_that_of_its_row_is_no_override() -> None:
    (row,) = read(a_row(flag="C", flags={"so2": "C", "o2": "N"})).rows
    assert row.version.flags == {"o2": "N"}


def test_times_are_read_as_iso_8601_with_an_offset_or_as_epoch_milliseconds() -> None:
    at_ms = int(AT.timestamp() * 1000)
    for value in (
        "2026-11-20T08:00:00+08:00",
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:00:00.000000+00:00",
        "20261120T000000Z",
        at_ms,
        float(at_ms),
    ):
        assert read(a_row(sampled_at=value)).rows[0].sampled_at == micros(AT)
    assert read(a_row(sampled_at=at_ms + 0.5)).rows[0].sampled_at == micros(AT) + 500


def test_revision_and_time_of_sending_may_stand_in_a_row() -> None:
    sent = "2026-11-20T08:00:10+08:00"
    alone, listed = read(a_row(revision=3, sent_at=sent)), read([a_row(revision=3, sent_at=sent), a_row()])
    for message in (alone, listed):
        version = message.rows[0].version
        assert (version.revision, version.sent_at) == (3, micros(AT) + 10_000_000)
    assert listed.rows[1].version.sent_at is None


def test_a_single_measurement_may_carry_a_session_and_a_number() -> None:
    message = read(a_row(session="s1", seq=7, low=5))
    assert (message.session, message.seq, message.low) == ("s1", 7, 5)
    assert message.rows[0].version.values == {"so2": 31.2, "o2": 16.2}


def test_unknown_channels_are_kept_beside_the_others() -> None:
    assert read(a_row(chlorine=0.5, 粉尘=3)).rows[0].version.values == {
        "so2": 31.2,
        "o2": 16.2,
        "chlorine": 0.5,
        "粉尘": 3.0,
    }


def test_null_values_are_left_out() -> None:
    assert read(a_row(so2=None)).rows[0].version.values == {"o2": 16.2}
    assert read(a_frame(so2=[None, 1])).rows[0].version.values == {"o2": 16.0}


def test_numbers_are_floats_and_there_is_one_zero() -> None:
    message = read(b'[{"stack": "DA001", "sampled_at": "2026-11-20T08:00:00+08:00", "so2": 31, "o2": -0.0, "x": -0}]')
    assert json.dumps(message.rows[0].version.values) == '{"so2": 31.0, "o2": 0.0, "x": 0.0}'
    frame = read(a_frame(1, so2=[31], o2=[-0.0]))
    assert json.dumps(frame.rows[0].version.values) == '{"so2": 31.0, "o2": 0.0}'


def test_a_payload_may_name_the_speaker_of_its_topic() -> None:
    for document in (a_row(site="works", edge="e1"), a_frame(site="works"), [a_row(site="works", edge="e1")]):
        assert read(document).refused == []
        assert all(set(row.version.values) == {"so2", "o2"} for row in read(document).rows)


def test_what_heads_a_frame_is_no_channel_in_an_array_either() -> None:
    (row,) = read([a_row(schema=1, session="s1", seq=4, low=1, rows_before=0, dropped_before=0)]).rows
    assert set(row.version.values) == {"so2", "o2"}


# The clock.


@pytest.mark.parametrize(("ahead_us", "refused"), [(0, 0), (5 * MINUTE, 0), (5 * MINUTE + 1000, 1), (7 * 24 * HOUR, 1)])
def test_a_row_more_than_five_minutes_ahead_is_refused_at_a_live_site(ahead_us: int, refused: int) -> None:
    at_ms = (RECEIVED + ahead_us) // 1000
    assert len(read(a_row(sampled_at=at_ms)).refused) == refused
    assert len(read(a_row(sampled_at=at_ms), any_time=True).refused) == 0


def test_a_simulated_site_has_its_own_clock() -> None:
    simulated = KnownSite(site_id=1, simulated=True, timezone="Asia/Shanghai", stacks=SITE.stacks)
    next_year = (AT + timedelta(days=365)).isoformat()
    assert read(a_row(sampled_at=next_year), site=simulated).refused == []
    with_broken_clock = read(a_row(sampled_at="2200-01-01T00:00:00Z"), site=simulated)
    assert "outside of the years" in with_broken_clock.refused[0].reason


# Garbage: whole payloads.

NAN = float("nan")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"so2=31.2", "not JSON", id="no_json"),
        pytest.param(b'{"stack": "DA001"', "not JSON", id="cut_off"),
        pytest.param(b"\xff\xfe\x00{}", "not JSON", id="bytes"),
        pytest.param('{"stack": "烧结"}'.encode("gbk"), "not JSON", id="gbk"),
        pytest.param(b'{"stack": "\\ud800"}', "not JSON", id="half_a_surrogate_pair"),
        pytest.param(b"[" * 100_000, "not JSON", id="very_deep"),
        pytest.param(b"##0101QN=20160801085857223;ST=32;CN=1062;;CP=&&&&1C80\r\n", "not JSON", id="hj_212"),
        pytest.param(b"7", "a JSON object", id="a_number"),
        pytest.param(b'"DA001"', "a JSON object", id="a_text"),
        pytest.param(b"null", "a JSON object", id="null"),
        pytest.param(b"true", "a JSON object", id="a_truth"),
        pytest.param(b"[]", "an empty list", id="an_empty_list"),
        pytest.param(a_frame(schema=2), "schema 2 is not known", id="another_schema"),
        pytest.param(a_frame(schema=True), "schema True is not known", id="schema_true"),
        pytest.param(a_frame(so2=[31.2]), "lists of unequal length: sampled_at has 2 entries, so2 has 1", id="unequal"),
        pytest.param(a_frame(stack=["DA001"] * 3), "lists of unequal length", id="unequal_stacks"),
        pytest.param(a_frame(flags={"pm": ["N"]}), "lists of unequal length: .* flags.pm 1", id="unequal_flags"),
        pytest.param(a_frame(flags=["N", "N"]), "flags of a frame must be a table", id="flags_as_a_list"),
        pytest.param(a_frame(so2=31.2), "so2 of a frame must be a list", id="a_channel_as_a_scalar"),
        pytest.param(a_frame(sampled_at=1), "sampled_at of a frame must be a list", id="one_time_for_all"),
        pytest.param(a_frame(sampled_at=...), "sampled_at of a frame must be a list", id="no_time"),
        pytest.param(a_frame(stack=...), "a frame without stack", id="no_stack"),
        pytest.param(a_frame(0), "a frame without rows", id="no_rows"),
        pytest.param(a_frame(seq=0), "seq 0 is not a whole number", id="seq_0"),
        pytest.param(a_frame(seq=1.5), "seq 1.5 is not a whole number", id="seq_1.5"),
        pytest.param(a_frame(seq=True), "seq True is not a whole number", id="seq_true"),
        pytest.param(a_frame(seq=1 << 62), "is not a whole number", id="seq_too_large"),
        pytest.param(a_frame(seq=...), "seq None is not", id="session_without_seq"),
        pytest.param(a_frame(session=...), "session None does not match", id="seq_without_session"),
        pytest.param(a_frame(session="a b"), "session 'a b' does not match", id="session_with_a_space"),
        pytest.param(a_frame(session=["s", "s"]), "session is one value", id="session_as_a_list"),
        pytest.param(a_frame(low="x"), "low 'x' is not a whole number", id="low"),
        pytest.param(a_frame(rows_before=-1), "rows_before -1 is not a whole number", id="rows_before"),
        pytest.param(a_frame(dropped_before=1 << 63), "is not a whole number", id="dropped_before"),
        pytest.param(a_frame(sent_at="yesterday"), "sent_at 'yesterday' is no ISO 8601", id="sent_at"),
        pytest.param(a_frame(site="power"), "payload names site 'power'", id="another_site"),
        pytest.param(a_frame(edge="e2"), "payload names edge 'e2'", id="another_edge"),
        pytest.param(a_row(site="power"), "payload names site 'power'", id="another_site_in_shape_1"),
        pytest.param(a_frame(2, **{"a\x00b": [1, 1]}), "control characters", id="nul_in_a_channel_name"),
        pytest.param(a_frame(2, **{"x" * 65: [1, 1]}), "longer than 64", id="long_channel_name"),
        pytest.param(a_frame(2, **{"": [1, 1]}), "channel name", id="empty_channel_name"),
    ],
)
def test_a_payload_of_which_nothing_can_be_taken_says_why(payload: Any, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        read(payload)


def test_an_unknown_site_is_told_apart() -> None:
    with pytest.raises(UnknownSite, match="unknown site 'works'"):
        read(a_row(), site=None)


def test_a_message_has_its_bounds() -> None:
    with pytest.raises(Undecodable, match="larger than"):
        read(b" " * (17 << 20))
    with pytest.raises(Undecodable, match="100001 rows"):
        read(b"[" + b"0," * MAX_ROWS + b"0]")


# Garbage: rows, whose neighbours stay.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"stack": "DA009"}, "unknown stack 'DA009'", id="unknown_stack"),
        pytest.param({"stack": None}, "unknown stack None", id="null_stack"),
        pytest.param({"stack": 7}, "unknown stack 7", id="stack_as_a_number"),
        pytest.param({"stack": ["DA001"]}, "unknown stack", id="stack_as_a_list"),
        pytest.param({"sampled_at": None}, "has no sampled_at", id="no_time"),
        pytest.param({"sampled_at": "2026-11-20T08:00:00"}, "with an offset", id="no_offset"),
        pytest.param({"sampled_at": "2026-11-20"}, "with an offset", id="a_day"),
        pytest.param({"sampled_at": "soon"}, "no ISO 8601", id="no_time_at_all"),
        pytest.param({"sampled_at": "2026-13-20T08:00:00Z"}, "no ISO 8601", id="month_13"),
        pytest.param({"sampled_at": "1969-12-31T00:00:00Z"}, "outside of the years", id="1969"),
        pytest.param({"sampled_at": "0001-01-01T00:00:00+23:00"}, "outside of the years", id="year_1"),
        pytest.param({"sampled_at": -1}, "outside of the years", id="before_1970"),
        pytest.param({"sampled_at": NAN}, "outside of the years", id="time_nan"),
        pytest.param({"sampled_at": 10**30}, "outside of the years", id="time_10_to_the_30"),
        pytest.param({"sampled_at": True}, "neither ISO 8601 nor", id="time_true"),
        pytest.param({"sampled_at": {}}, "neither ISO 8601 nor", id="time_table"),
        pytest.param({"sampled_at": "2026-11-27T08:00:00+08:00"}, "ahead of the system's clock", id="next_week"),
        pytest.param({"so2": NAN}, "so2 nan is not finite", id="nan"),
        pytest.param({"so2": float("inf")}, "so2 inf is not finite", id="infinite"),
        pytest.param({"so2": 10**400}, "is not finite", id="10_to_the_400"),
        pytest.param({"so2": "31.2"}, "so2 '31.2' is no number", id="number_as_text"),
        pytest.param({"so2": True}, "so2 True is no number", id="truth_as_a_number"),
        pytest.param({"so2": [31.2]}, "is no number", id="list_as_a_number"),
        pytest.param({"so2": {"v": 1}}, "is no number", id="table_as_a_number"),
        pytest.param({"chlorine": NAN}, "chlorine nan is not finite", id="nan_of_an_unknown_channel"),
        pytest.param({"flag": "X"}, "flag 'X' is none of", id="unknown_flag"),
        pytest.param({"flag": "NN"}, "flag 'NN' is none of", id="two_flags"),
        pytest.param({"flag": ""}, "flag '' is none of", id="empty_flag"),
        pytest.param({"flag": 7}, "flag 7 is none of", id="flag_as_a_number"),
        pytest.param({"flags": {"so2": "X"}}, "flags.so2 'X' is none of", id="unknown_flag_of_a_channel"),
        pytest.param({"state": "asleep"}, "state 'asleep' is none of", id="unknown_state"),
        pytest.param({"state": []}, "is none of", id="state_as_a_list"),
        pytest.param({"interval_s": 0}, "interval_s 0 is not", id="no_interval"),
        pytest.param({"interval_s": 3601}, "interval_s 3601 is not", id="interval_of_more_than_an_hour"),
        pytest.param({"interval_s": 1.5}, "interval_s 1.5 is not", id="interval_of_1.5_s"),
        pytest.param({"interval_s": NAN}, "interval_s nan is not", id="interval_nan"),
        pytest.param({"interval_s": "10"}, "interval_s '10' is not", id="interval_as_text"),
        pytest.param({"instrument": "a b"}, "instrument 'a b' does not match", id="instrument"),
        pytest.param({"instrument": 7}, "instrument 7 does not match", id="instrument_as_a_number"),
        pytest.param({"revision": -1}, "revision -1 is not", id="negative_revision"),
        pytest.param({"revision": 1.0}, "revision 1.0 is not", id="revision_as_a_float"),
        pytest.param({"revision": 1 << 31}, "revision 2147483648 is not", id="revision_no_column_can_hold"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_its_neighbours_stay(changes: dict[str, Any], reason: str) -> None:
    listed = read([a_row(), a_row(**changes), a_row(stack="DA002")])
    names = {key for key in (*a_row(), *changes) if key != "flags"}
    good = {"stack": "DA001", "sampled_at": "2026-11-20T08:00:00+08:00", "so2": 31.2, "o2": 16.2}
    columns: dict[str, Any] = {
        name: [good.get(name), changes[name] if name in changes else good.get(name), good.get(name)] for name in names
    }
    columns["stack"][2] = "DA002"
    if "flags" in changes:
        columns["flags"] = {channel: [None, letter, None] for channel, letter in changes["flags"].items()}
    framed = read({"schema": 1, "session": "s", "seq": 1} | columns)
    for message in (listed, framed):
        assert [row.stack_id for row in message.rows] == [1, 2]
        (refusal,) = message.refused
        assert refusal.row == 1
        assert reason in refusal.reason
        assert len(refusal.reason) < 200
    alone = read(a_row(**changes)) if not isinstance(changes.get("stack"), list) else framed
    assert len(alone.refused) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (7, "a measurement is a JSON object, not 7"),
        (None, "a measurement is a JSON object, not None"),
        ([], "a measurement is a JSON object"),
        ({}, "names no stack"),
        ({"stack": "DA001"}, "has no sampled_at"),
        (a_row(flags=[]), "is no table of flags"),
        (a_row(flags={"a\nb": "N"}), "control characters"),
        (a_row(site="power"), "names site 'power'"),
        (a_row(edge="e2"), "names edge 'e2'"),
        (a_row(**{"a\x7f": 1}), "control characters"),
    ],
)
def test_a_bad_element_of_an_array_leaves_the_others(row: Any, reason: str) -> None:
    message = read([a_row(), row, a_row(stack="DA002")])
    assert [row.stack_id for row in message.rows] == [1, 2]
    assert [(refusal.row, reason in refusal.reason) for refusal in message.refused] == [(1, True)]


def test_a_refused_row_keeps_its_time_where_that_can_be_read() -> None:
    message = read([a_row(so2="x"), a_row(stack="DA009"), a_row(sampled_at="soon")])
    assert [refusal.sampled_at for refusal in message.refused] == [micros(AT), micros(AT), None]


# Identity of a payload.


def test_only_the_lowest_number_held_may_differ_between_two_copies_of_a_frame() -> None:
    first, later = (json.dumps(a_frame(low=low)).encode() for low in (1, 40))
    assert payload_digest(first) == payload_digest(later)
    assert read(first).digest == payload_digest(later)
    assert payload_digest(json.dumps(a_frame(so2=[31.2, 31.3])).encode()) != payload_digest(first)


@pytest.mark.parametrize(
    ("payload", "session", "seq", "n_rows"),
    [
        (a_frame(so2=[1.0]), "b1946ac9", 42, 2),
        (a_row(session="s", seq=3, site="x"), "s", 3, 1),
        ([1, 2, 3], None, None, 3),
        ([], None, None, 1),
        (7, None, None, 1),
        (a_frame(seq=0), None, None, 2),
        (a_frame(session="a b"), None, None, 2),
    ],
)
def test_what_can_be_said_of_a_refused_payload_is_said(
    payload: Any, session: str | None, seq: int | None, n_rows: int
) -> None:
    left = remains(json.dumps(payload).encode())
    assert (left.session, left.seq, left.n_rows) == (session, seq, n_rows)


def test_nothing_is_said_of_a_payload_that_is_no_json() -> None:
    for payload in (b"", b"\xff", b"[" * 100_000):
        left = remains(payload)
        assert (left.session, left.seq, left.n_rows) == (None, None, 1)


# Laws.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "schema",
    "session",
    "seq",
    "low",
    "rows_before",
    "dropped_before",
    "sent_at",
    "site",
    "edge",
    "stack",
    "sampled_at",
    "interval_s",
    "instrument",
    "state",
    "flag",
    "flags",
    "revision",
    "so2",
    "chlorine",
)


def try_to_read(payload: bytes) -> Message | None:
    remains(payload)
    try:
        return decode(payload, SPEAKER, SITE, received_at=RECEIVED)
    except Undecodable:
        return None


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_undecodable(payload: bytes) -> None:
    try_to_read(payload)


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_arbitrary_json_raises_nothing_but_undecodable(document: Any) -> None:
    try_to_read(json.dumps(document).encode())


@settings(deadline=None, max_examples=250)
@given(
    st.integers(1, 4),
    st.dictionaries(st.sampled_from(KEYS), json_values | st.lists(json_values, min_size=1, max_size=4), max_size=4),
    st.booleans(),
)
def test_mutated_frames_raise_nothing_but_undecodable(n: int, changes: dict[str, Any], as_row: bool) -> None:
    document = a_row(**changes) if as_row else a_frame(n, **changes)
    message = try_to_read(json.dumps(document).encode())
    if message is not None:
        places = [refusal.row for refusal in message.refused]
        assert len(message.rows) + len(places) == message.n_rows
        assert len(set(places)) == len(places)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_every_good_row_of_a_frame_with_bad_ones_survives_unchanged(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))
    values = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=n, max_size=n))
    frame = a_frame(n, so2=list(values))
    bad = data.draw(st.sets(st.integers(0, n - 1)))
    for place in bad:
        column, wrong = data.draw(
            st.sampled_from(
                [("so2", "x"), ("so2", NAN), ("o2", True), ("stack", "DA9"), ("sampled_at", "soon"), ("o2", [1])]
            )
        )
        frame[column][place] = wrong
    message = read(frame)
    good = [place for place in range(n) if place not in bad]
    assert [refusal.row for refusal in message.refused] == sorted(bad)
    assert [row.version.values for row in message.rows] == [{"so2": values[p] + 0.0, "o2": 16.0} for p in good]
    assert [row.sampled_at for row in message.rows] == [micros(AT) + 10_000_000 * p for p in good]
