"""The parts of checking an export: comparing, sealing, and a history as JSON that rules say the same of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from alerts.enforcement.signing import Signer
from alerts.evidence.checks import compared_all, same
from alerts.evidence.files import check_file
from alerts.evidence.histories import history_document, history_from, until
from alerts.evidence.sealing import check_seal, sealed
from alerts.rules.catalogue import RULES
from alerts.rules.history import Span
from alerts.rules.rule import Rule
from alerts.subject import Subject
from history_builders import a_history

SIGNER: Final = Signer(Ed25519PrivateKey.from_private_bytes(b"a key of the test, known to all!"))
FILE: Final = {"format": "something", "number": 0.1 + 0.2, "text": "排放口"}


@dataclass(frozen=True, slots=True)
class Pair:
    one: Any
    other: Any
    alike: bool


@pytest.mark.parametrize(
    "pair",
    [
        Pair(1, 1.0, True),
        Pair(0.1 + 0.2, 0.3, True),
        Pair(35.0, 35.000001, False),
        Pair(True, 1, False),
        Pair({"a": [1, None]}, {"a": [1.0, None]}, True),
        Pair({"a": 1}, {"a": 1, "b": None}, False),
        Pair([1], [1, 2], False),
        Pair("12", ["1", "2"], False),
    ],
)
def test_numbers_are_alike_but_for_their_last_digit(pair: Pair) -> None:
    assert same(pair.one, pair.other) is pair.alike


def test_what_only_one_side_has_is_told() -> None:
    checks = list(compared_all({"a": 1, "x": 3, "revision": 2}, {"a": 1, "b": 2}, by="it gives", unknown=["revision"]))
    assert [(check.what, check.holds) for check in checks] == [("a", True), ("b", False), ("x", False)]


def holds(document: dict[str, Any], public_key: str | None = None) -> list[bool | None]:
    return [check.holds for check in check_seal(document, public_key=public_key)]


def test_a_seal_holds_what_it_was_put_on_and_says_whose_it_is() -> None:
    signed, unsigned = sealed(FILE, SIGNER), sealed(FILE, None)
    again = json.loads(json.dumps(signed))
    assert holds(again, SIGNER.public_key_b64) == [True, True]
    assert holds(again) == [True, None]
    assert holds(again, "AAAA") == [True, False]
    assert holds(unsigned) == [True, None]
    assert holds(unsigned, SIGNER.public_key_b64) == [True, False]
    assert holds(FILE) == [False]
    assert holds({**signed, "number": 0.3}) == [False, None]
    forged = sealed({**FILE, "number": 0.3}, None)["seal"]["sha256"]
    assert holds({**FILE, "number": 0.3, "seal": {**signed["seal"], "sha256": forged}}) == [True, False]
    stranger = Signer(Ed25519PrivateKey.from_private_bytes(b"another key of the test, as well"))
    assert holds({**FILE, "seal": {**signed["seal"], "key_id": stranger.key_id}}) == [True, False]


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"format": "stackwatch-alert/1"}, {"format": "stackwatch-alert/1", "alert": {}, "seal": 3}],
)
def test_what_is_no_export_does_not_hold(document: Any) -> None:
    assert any(check.holds is False for check in check_file(document))


MARKS: Final = (Span(start=0, end=None, kind="stopped", status="pending", detail={"id": 3}),)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_the_same_of_a_history_that_went_through_json(rule: Rule) -> None:
    history = a_history(360)
    history = replace(
        history,
        marks=MARKS,
        conflicts={"so2": np.arange(360, dtype=np.int64) % 7},
        mass_before={"so2": 1234.5},
        records={"calibration": (int(history.start[3]),)},
        channels={key: {n: v.copy() for n, v in of.items()} for key, of in history.channels.items()},
    )
    history.channels["main", "so2"]["low"][100:140] = -30.0
    subject = Subject(site_id=0, stack_id=0, site=history.site, stack=history.stack, packs=history.packs)
    document = json.loads(json.dumps(history_document(history, blocks=True), allow_nan=False))
    told, again = list(rule.judge(history)), list(rule.judge(history_from(document, subject)))
    assert len(told) == len(again)
    for one, other in zip(told, again, strict=True):
        assert (one.pollutant, one.pack, one.instrument) == (other.pollutant, other.pack, other.instrument)
        np.testing.assert_array_equal(one.level, other.level)
        found = one.level > 0
        np.testing.assert_array_equal(one.observed[found], other.observed[found])
        assert [one.evidence(int(place)) for place in np.flatnonzero(found)] == [
            other.evidence(int(place)) for place in np.flatnonzero(found)
        ]


def test_a_history_of_more_hours_than_it_has_is_refused() -> None:
    history = a_history(48)
    subject = Subject(site_id=0, stack_id=0, site=history.site, stack=history.stack, packs=history.packs)
    document = history_document(history, blocks=False) | {"n_hours": 10**12}
    with pytest.raises(ValueError, match="says that it has 1000000000000 hours, and has 48"):
        history_from(document, subject)


def test_a_history_is_cut_at_an_hour() -> None:
    history = a_history(48)
    cut = until(history, int(history.start[10]))
    assert (cut.n_hours, cut.outlet["rows"].size, cut.value("main", "so2", "mean").size) == (10, 10, 10)
    assert all(hours.verdict.size == 10 for hours in cut.verdicts.values())
