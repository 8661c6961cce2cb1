"""Frames of the kinds `reported_mean` and `signal`: good rows and refusals out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from ingestor.decode import KnownSite, KnownStack, Message, decode, remains
from plant.errors import Undecodable
from plant.periods import HOUR, micros
from plant.reports import REPORTED_MEAN, SIGNAL, Report
from plant.topics import Speaker

SPEAKER: Final = Speaker("works", "e1", "data")
AT: Final = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
AT_MS: Final = micros(AT) // 1000
SITE: Final = KnownSite(
    site_id=5,
    simulated=False,
    timezone="Asia/Shanghai",
    stacks={"DA001": KnownStack(stack_id=1, interval_s=10)},
    units=frozenset({"S1"}),
)
MEANS: Final = {
    "kind": "reported_mean",
    "session": "s1",
    "seq": 3,
    "sent_at": AT_MS,
    "stack": "DA001",
    "interval_s": 3600,
    "channel": ["so2", "flow"],
    "sampled_at": [AT_MS, AT_MS],
    "avg": [31.2, 1000],
    "corrected_avg": [44.5, None],
    "amount": [0.4, 99.0],
    "flag": ["N", None],
}
SIGNALS: Final = {
    "kind": "signal",
    "unit": ["S1", None, "S1"],
    "stack": [None, "DA001", "DA001"],
    "signal": "fan_current_a",
    "sampled_at": [AT_MS, AT_MS, "2026-11-20T08:00:00+08:00"],
    "value": [1.5, None, -0.0],
    "revision": 2,
}


def read(document: Any, **rest: Any) -> Message:
    return decode(json.dumps(document).encode(), SPEAKER, SITE, received_at=micros(AT) + HOUR, **rest)


def test_a_frame_of_means_is_read() -> None:
    message = read(MEANS)
    assert (message.session, message.seq, message.n_rows, message.refused, len(message.block)) == ("s1", 3, 2, [], 0)
    assert message.reports == [
        Report(
            REPORTED_MEAN,
            (1, "logger", "so2", 3600, micros(AT)),
            0,
            micros(AT),
            (31.2, None, None, 44.5, None, None, 0.4, "N"),
        ),
        Report(
            REPORTED_MEAN,
            (1, "logger", "flow", 3600, micros(AT)),
            0,
            micros(AT),
            (1000.0, None, None, None, None, None, 99.0, "N"),
        ),
    ]


def test_a_mean_says_whose_it_is() -> None:
    message = read(MEANS | {"source": ["platform", None]})
    assert [report.key[1] for report in message.reports] == ["platform", "logger"]


def test_a_frame_of_signals_is_read() -> None:
    message = read(SIGNALS)
    assert message.refused == []
    assert [report.key for report in message.reports] == [
        (5, "S1", "", "fan_current_a", micros(AT)),
        (5, "", "DA001", "fan_current_a", micros(AT)),
        (5, "S1", "DA001", "fan_current_a", micros(AT)),
    ]
    assert {(report.kind, report.revision, report.sent_at) for report in message.reports} == {(SIGNAL, 2, None)}
    assert str([report.content for report in message.reports]) == "[(1.5, 'N'), (None, 'N'), (0.0, 'N')]"


@pytest.mark.parametrize(
    ("frame", "changes", "reason"),
    [
        (MEANS, {"stack": ["DA001", "DA9"]}, "unknown stack 'DA9'"),
        (MEANS, {"stack": ["DA001", None]}, "unknown stack None"),
        (MEANS, {"source": ["logger", "rumour"]}, "source 'rumour' is none of logger platform"),
        (MEANS, {"source": ["logger", []]}, "source [] is none of"),
        (MEANS, {"channel": ["so2", None]}, "channel None is no name"),
        (MEANS, {"channel": ["so2", ""]}, "channel '' is no name"),
        (MEANS, {"channel": ["so2", "a\nb"]}, "control characters"),
        (MEANS, {"interval_s": [60, 0]}, "interval_s 0 is not a whole number of seconds from 1 to 31622400"),
        (MEANS, {"interval_s": [60, None]}, "interval_s None is not"),
        (MEANS, {"avg": [1.0, "x"]}, "avg 'x' is no number"),
        (MEANS, {"amount": [1.0, float("inf")]}, "amount inf is not finite"),
        (MEANS, {"flag": ["N", "X"]}, "flag 'X' is none of"),
        (MEANS, {"revision": [0, -1]}, "revision -1 is not"),
        (MEANS, {"sampled_at": [AT_MS, None]}, "has no sampled_at"),
        (MEANS, {"sampled_at": [AT_MS, AT_MS + 2 * 3_600_000]}, "more than 300 s ahead"),
        (SIGNALS, {"unit": ["S1", "S9", "S1"]}, "unknown unit 'S9'"),
        (SIGNALS, {"unit": ["S1", [], "S1"]}, "unknown unit []"),
        (SIGNALS, {"stack": [None, "DA9", None]}, "unknown stack 'DA9'"),
        (SIGNALS, {"signal": ["a", 7, "c"]}, "signal 7 is no name"),
        (SIGNALS, {"value": [1.0, True, 1.0]}, "value True is no number"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_its_neighbours_stay(
    frame: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    whole, message = read(frame), read(frame | changes)
    (refusal,) = message.refused
    assert refusal.row == 1
    assert reason in refusal.reason
    keys = [report.key[-1] for report in message.reports]
    assert keys == [report.key[-1] for place, report in enumerate(whole.reports) if place != 1]
    assert message.n_rows == whole.n_rows == remains(json.dumps(frame).encode()).n_rows


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (MEANS | {"kind": "rumour"}, "kind 'rumour' is none of measurement reported_mean signal"),
        (MEANS | {"kind": 7}, "kind 7 is none of"),
        (MEANS | {"median": [1.0, 2.0]}, "median is no column of a reported_mean"),
        (MEANS | {"avg": [1.0]}, "lists of unequal length"),
        (SIGNALS | {"flags": {}}, "flags of a frame must be a list"),
        ({key: value for key, value in MEANS.items() if key != "stack"}, "a frame of kind reported_mean without stack"),
        ({key: value for key, value in SIGNALS.items() if key != "signal"}, "a frame of kind signal without signal"),
        ({"kind": "signal", "signal": "a", "sampled_at": AT_MS, "value": 1}, "come in a frame by columns"),
    ],
)
def test_a_frame_that_cannot_be_taken_says_why(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        read(document)


def test_a_row_of_a_list_is_a_measurement() -> None:
    row = {"stack": "DA001", "sampled_at": AT_MS, "so2": 1.0}
    message = read([row, row | {"kind": "measurement"}, row | {"kind": "signal"}])
    assert [refusal.row for refusal in message.refused] == [2]
    assert "is of kind 'signal'" in message.refused[0].reason


def test_measurements_may_say_that_they_are() -> None:
    frame = {"kind": "measurement", "stack": ["DA001"], "sampled_at": [AT_MS], "so2": [1.0]}
    assert len(read(frame).rows) == 1
