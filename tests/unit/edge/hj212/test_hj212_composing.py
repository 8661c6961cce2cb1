"""Our rows as a logger would send them: worked examples, and that what is written is what is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.hj212.codes import BY_CHANNEL
from edge.hj212.commands import Command
from edge.hj212.composing import GRACE_MS, Item, Means, passed_on, readings_of, realtime
from edge.hj212.decoder import Packet
from edge.hj212.encoder import encode
from edge.hj212.loggers import Logger
from edge.hj212.messages import build
from edge.hj212.rows import to_rows
from edge.hj212.segment import NUMBERED, Version
from fakes.hj212_logger import AT_MS, HOUR_MS, MN, PASSWORD
from fakes.hj212_streams import one_of


def fields(items: list[Item]) -> list[dict[str, Any]]:
    return [dict(group) for item in items for group in item.fields[1:]]


def test_the_mean_is_that_of_the_normal_samples() -> None:
    means = Means(Command.HOUR_DATA, HOUR_MS)
    for minute, (value, flag) in enumerate([(10.0, "N"), (20.0, "N"), (999.0, "C"), (None, "N"), (12.0, "N")]):
        assert means.add(AT_MS + minute * 60_000, {"so2": (value, flag)}) == []
    (item,) = means.close(AT_MS + HOUR_MS + GRACE_MS)
    assert (item.command, item.at_ms, item.fields[0]) == (Command.HOUR_DATA, AT_MS, {"DataTime": "20261120160000"})
    assert fields([item]) == [{"a21026-Min": "10.00", "a21026-Avg": "14.00", "a21026-Max": "20.00", "a21026-Flag": "N"}]
    assert means.close(AT_MS + 9 * HOUR_MS) == []


def test_a_period_without_a_normal_sample_says_why_and_gives_no_value() -> None:
    means = Means(Command.MINUTE_DATA, 600_000)
    for minute, flag in enumerate("DCC"):
        means.add(AT_MS + minute * 60_000, {"so2": (5.0, flag)})
    assert fields(means.close(AT_MS + 700_000)) == [{"a21026-Flag": "C"}]


def test_a_row_of_a_closed_period_is_late_and_changes_nothing() -> None:
    means = Means(Command.HOUR_DATA, HOUR_MS)
    means.add(AT_MS + HOUR_MS, {"so2": (1.0, "N")})
    assert means.add(AT_MS, {"so2": (99.0, "N")}) == []
    assert means.late == 1
    assert fields(means.close(AT_MS + 3 * HOUR_MS))[0]["a21026-Max"] == "1.00"


def test_a_day_begins_at_midnight_in_china() -> None:
    means = Means(Command.DAY_DATA, 24 * HOUR_MS)
    means.add(AT_MS, {"so2": (1.0, "N")})
    (item,) = means.add(AT_MS + 8 * HOUR_MS, {"so2": (1.0, "N")})
    assert item.fields[0] == {"DataTime": "20261120000000"}


def test_sums_go_on_after_a_restart_but_not_for_another_length() -> None:
    before, after, other = (
        Means(Command.HOUR_DATA, HOUR_MS),
        Means(Command.HOUR_DATA, HOUR_MS),
        Means(Command.MINUTE_DATA, 60_000),
    )
    before.add(AT_MS, {"so2": (1.0, "N")})
    after.resume(before.document())
    other.resume(before.document())
    after.add(AT_MS + 60_000, {"so2": (3.0, "N")})
    assert fields(after.close(AT_MS + 2 * HOUR_MS))[0]["a21026-Avg"] == "2.00"
    assert other.close(AT_MS + 2 * HOUR_MS) == []


def test_readings_are_what_has_a_code_with_their_own_flag_before_that_of_the_row() -> None:
    row = {"stack": "DA001", "sampled_at": AT_MS, "so2": 1.0, "nox": 2.0, "so2_corrected": 1.5, "load_pct": 50.0}
    row |= {"flag": "M", "flags": {"so2": "D"}, "unknown": 7.0}
    assert readings_of(row) == {"so2": (1.0, "D"), "nox": (2.0, "M"), "so2_corrected": (1.5, "D")}


def test_a_value_that_the_standard_has_no_room_for_is_left_out() -> None:
    assert fields(realtime(AT_MS, {"so2": (1e300, "T"), "nox": (float("nan"), "N")})) == [{"a21026-Flag": "T"}]
    assert realtime(AT_MS, {"nox": (None, "N")}) == []


def test_many_channels_go_in_several_packets_each_short_enough() -> None:
    rows = [
        {"stack": "DA001", "sampled_at": AT_MS, "interval_s": 3600, "channel": channel, "flag": "N"}
        | dict.fromkeys(("avg", "min", "max", "corrected_avg", "corrected_min", "corrected_max"), 123.456)
        for channel in BY_CHANNEL
    ]
    items = list(passed_on(rows, 600))
    assert [item.pno for item in items] == list(range(1, len(items) + 1))
    assert len(items) > 1
    assert all(len(encode(sent(item))) <= 1024 + 12 for item in items)
    assert {name.partition("-")[0] for group in fields(items) for name in group} == set(BY_CHANNEL.values())


def sent(item: Item) -> Any:
    segment = build(item.command, qn="2" * 17, st="31", mn=MN, pw=PASSWORD, version=Version.HJ_2025, resend=True)
    numbered = 0 if item.pnum is None else NUMBERED
    return replace(segment, fields=item.fields, pnum=item.pnum, pno=item.pno, flag=(segment.flag or 0) | numbered)


VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.dictionaries(st.sampled_from(sorted(BY_CHANNEL)), st.tuples(VALUES, st.sampled_from("NFMSDCTB")), min_size=1))
def test_what_is_written_is_read_as_the_same_channels_and_flags(readings: dict[str, tuple[float | None, str]]) -> None:
    found: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for item in realtime(AT_MS, readings):
        packet = one_of(encode(sent(item)))
        assert isinstance(packet, Packet)
        assert (packet.faults, packet.data_time_ms) == ((), AT_MS)
        (row,) = to_rows(packet, Logger(mn=MN, stack="DA001")).measurements
        found |= {channel: row[channel] for channel in readings if channel in row}
        flags |= row.get("flags", {})
    assert found.keys() == readings.keys()
    assert flags == {channel: flag for channel, (_, flag) in readings.items() if flag != "N"}
