from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.enforcement.chain import Link, canonical, head_hash, link, utc_text, verify

HEAD = {"id": "case-1", "units": ["S1"], "pinned": {"hours": 24}}


def chain_of(*texts: str) -> list[Link]:
    links: list[Link] = []
    for number, text in enumerate(texts, start=1):
        previous = links[-1].hash if links else head_hash(HEAD)
        links.append(link(previous, {"number": number, "reason": text}))
    return links


def test_the_hash_is_sha256_of_the_hash_before_and_the_text() -> None:
    head = hashlib.sha256(b'{"id":"case-1","pinned":{"hours":24},"units":["S1"]}').digest()
    first = hashlib.sha256(head + b'{"number":1,"reason":"opened"}').digest()
    second = hashlib.sha256(first + '{"number":2,"reason":"核实"}'.encode()).digest()
    assert [item.hash for item in chain_of("opened", "核实")] == [first, second]


def test_a_whole_chain_has_no_break() -> None:
    assert verify(HEAD, chain_of("a", "b", "c")) is None


def test_a_changed_text_is_found_where_it_was_changed() -> None:
    links = chain_of("a", "b", "c")
    links[1] = replace(links[1], body=links[1].body.replace('"b"', '"B"'))
    assert str(verify(HEAD, links)) == "record 2: its text does not give its hash"


def test_a_changed_text_with_its_own_new_hash_is_found_at_the_next_record() -> None:
    links = chain_of("a", "b", "c")
    links[1] = link(links[0].hash, {"number": 2, "reason": "B"})
    assert str(verify(HEAD, links)) == "record 3: does not carry the hash of record 2"


def test_a_removed_a_moved_and_a_repeated_record_are_found() -> None:
    a, b, c = chain_of("a", "b", "c")
    for links, number in (([a, c], 2), ([b, a, c], 1), ([a, b, b, c], 3), ([b, c], 1)):
        broken = verify(HEAD, links)
        assert broken is not None
        assert broken.number == number


def test_another_head_breaks_the_chain_at_its_first_record() -> None:
    broken = verify({**HEAD, "pinned": {"hours": 1}}, chain_of("a", "b"))
    assert str(broken) == "record 1: does not carry the hash of the head of the case"


def test_a_record_out_of_number_is_found_though_its_hash_is_right() -> None:
    odd = link(head_hash(HEAD), {"number": 7})
    assert str(verify(HEAD, [odd])) == "record 1: says that it is number 7"


def test_a_case_without_any_record_does_not_verify() -> None:
    broken = verify(HEAD, [])
    assert broken is not None
    assert broken.number == 0


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=6),
    st.data(),
)
def test_no_single_changed_byte_of_any_record_goes_unseen(texts: list[str], data: st.DataObject) -> None:
    links = chain_of(*(text.encode("utf-8", "ignore").decode() for text in texts))
    where = data.draw(st.integers(0, len(links) - 1))
    body = links[where].body
    position = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda c: c != body[position]))
    links[where] = replace(links[where], body=body[:position] + other + body[position + 1 :])
    broken = verify(HEAD, links)
    assert broken is not None
    assert broken.number == where + 1


def test_a_text_is_canonical_whatever_the_order_of_its_keys() -> None:
    assert canonical({"b": [1, 0.1], "a": {"d": None, "c": "é"}}) == '{"a":{"c":"é","d":null},"b":[1,0.1]}'
    assert canonical({"x": 1, "y": 2}) == canonical({"y": 2, "x": 1})


@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_numbers_survive_the_canonical_text_bit_for_bit(numbers: dict[str, float]) -> None:
    keys = {key.encode("utf-8", "ignore").decode(): value for key, value in numbers.items()}
    assert json.loads(canonical(keys)) == keys


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"], ids=["nan", "infinity", "lone_surrogate"])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON compliant|can't encode"):
        canonical({"x": value})


def test_instants_are_written_in_utc_with_z_and_only_the_digits_they_have() -> None:
    at = datetime(2026, 11, 20, 8, 0, tzinfo=timezone(timedelta(hours=8)))
    assert utc_text(at) == "2026-11-20T00:00:00Z"
    assert utc_text(at.replace(microsecond=250_000)) == "2026-11-20T00:00:00.250000Z"
    assert datetime.fromisoformat(utc_text(at)) == at.astimezone(UTC)
