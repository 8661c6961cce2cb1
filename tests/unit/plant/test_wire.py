"""What travels over MQTT as an edge writes it, against what the ingestor reads of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.decode import KnownSite, KnownStack, decode
from plant.errors import Undecodable
from plant.topics import Speaker
from plant.wire import Receipt, Row, columns, encode, frame, receipt_bytes, receipt_from, state_bytes

AT_MS = 1_795_161_600_000


def a_frame(rows: list[Row], **head: int) -> bytes:
    numbers = {"seq": 42, "low": 40, "rows_before": 81_900, "dropped_before": 0, "sent_at_ms": AT_MS} | head
    return frame(columns(rows), session="b1946ac9", **numbers)


def test_a_frame_is_the_contracts_shape_3() -> None:
    rows = [
        Row(
            stack="DA001",
            sampled_at_ms=AT_MS,
            interval_s=10,
            flags={"pm": "C"},
            values={"so2": 31.2, "nox": 44.0, "pm": 6.1, "o2": 16.2},
        ),
        Row(stack="DA002", sampled_at_ms=AT_MS, interval_s=10, values={"nox": 47.5, "pm": 5.0, "o2": 16.0}),
    ]
    assert json.loads(a_frame(rows)) == {
        "schema": 1,
        "session": "b1946ac9",
        "seq": 42,
        "low": 40,
        "rows_before": 81_900,
        "dropped_before": 0,
        "sent_at": AT_MS,
        "stack": ["DA001", "DA002"],
        "sampled_at": [AT_MS, AT_MS],
        "interval_s": 10,
        "flags": {"pm": ["C", None]},
        "so2": [31.2, None],
        "nox": [44.0, 47.5],
        "pm": [6.1, 5.0],
        "o2": [16.2, 16.0],
    }


def test_a_column_that_is_constant_is_one_scalar_and_one_that_is_not_is_a_list() -> None:
    first = Row(stack="DA001", sampled_at_ms=1, values={"so2": 1.0}, state="running", flag="N")
    second = Row(stack="DA001", sampled_at_ms=2, values={"so2": 1.0}, state=None, flag="N")
    body = columns([first, second])
    assert (body["stack"], body["flag"], body["state"], body["so2"]) == ("DA001", "N", ["running", None], [1.0, 1.0])
    assert body["sampled_at"] == [1, 2]


def test_numbers_keep_all_their_digits_and_nan_is_refused() -> None:
    assert encode({"so2": 0.1 + 0.2}) == b'{"so2":0.30000000000000004}'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            encode({"so2": value})


wire_rows = st.builds(
    Row,
    stack=st.sampled_from(["DA001", "DA002"]),
    sampled_at_ms=st.integers(AT_MS - 10**9, AT_MS),
    values=st.dictionaries(
        st.sampled_from(["so2", "nox", "o2", "chlorine"]),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    ),
    interval_s=st.none() | st.sampled_from([10, 60]),
    instrument=st.none() | st.just("backup"),
    state=st.none() | st.sampled_from(["running", "stopped"]),
    flag=st.none() | st.sampled_from(list("NCT")),
    flags=st.dictionaries(st.sampled_from(["so2", "o2"]), st.sampled_from(list("NCT")), max_size=2),
    revision=st.none() | st.integers(0, 3),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(wire_rows, min_size=1, max_size=6))
def test_whatever_an_edge_frames_the_ingestor_reads_back(rows: list[Row]) -> None:
    site = KnownSite(
        site_id=1,
        simulated=False,
        timezone="Asia/Shanghai",
        stacks={name: KnownStack(stack_id=i, interval_s=5) for i, name in enumerate(["DA001", "DA002"])},
    )
    message = decode(a_frame(rows), Speaker("works", "e1", "data"), site, received_at=AT_MS * 1000)
    assert message.refused == []
    assert (message.session, message.seq, message.low, message.rows_before) == ("b1946ac9", 42, 40, 81_900)
    for sent, read in zip(rows, message.rows, strict=True):
        version = read.version
        assert read.stack_id == ("DA001", "DA002").index(sent.stack)
        assert read.sampled_at == sent.sampled_at_ms * 1000
        assert read.instrument == (sent.instrument or "main")
        assert version.interval_s == (sent.interval_s or 5)
        assert version.state == sent.state
        assert version.revision == (sent.revision or 0)
        assert version.values == {name: value for name, value in sent.values.items() if value is not None}
        for channel in ("so2", "o2", "nox"):
            assert version.flag_of(channel) == sent.flags.get(channel, sent.flag or "N")


@given(
    st.integers(0, 10**12),
    st.lists(st.integers(1, 10**12), max_size=5),
    st.lists(
        st.builds(lambda seq, why: {"seq": seq, "rows": [], "reason": why}, st.integers(1), st.text()), max_size=3
    ),
)
def test_a_receipt_is_read_as_it_was_written(through: int, also: list[int], refused: list[dict[str, Any]]) -> None:
    receipt = Receipt(session="s1", through=through, also=tuple(also), refused=tuple(refused))
    assert receipt_from(receipt_bytes(receipt)) == receipt


def test_a_receipt_covers_all_through_its_number_and_those_it_lists() -> None:
    receipt = Receipt(session="s1", through=41, also=(43, 44))
    assert [seq for seq in range(38, 48) if receipt.covers(seq)] == [38, 39, 40, 41, 43, 44]
    assert not Receipt(session="s1", through=0).covers(1)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nothing",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"session": "s1"}',
        b'{"session": "s1", "through": "many"}',
        b'{"session": "s1", "through": null}',
        b'{"session": "s1", "through": Infinity}',
        b'{"session": "s1", "through": 1, "also": 7}',
        b'{"session": "s1", "through": 1, "refused": 7}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_receipt_that_cannot_be_read_is_undecodable(payload: bytes) -> None:
    with pytest.raises(Undecodable, match="receipt"):
        receipt_from(payload)


def test_the_state_of_an_edge_has_the_contracts_fields() -> None:
    assert json.loads(state_bytes(online=True, version="1", outbox=3, oldest_ms=AT_MS, dropped=2)) == {
        "online": True,
        "version": "1",
        "outbox": 3,
        "oldest": AT_MS,
        "dropped": 2,
    }
    assert json.loads(state_bytes(online=False, version="1"))["oldest"] is None
