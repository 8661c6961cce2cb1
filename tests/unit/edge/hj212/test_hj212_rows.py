"""Packets as rows: channels and units, flags, means, signals, and what is in no row."""

from __future__ import annotations

import tomllib
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.columns import check_rows, columns_of
from edge.hj212.codes import BY_CHANNEL, CODES
from edge.hj212.loggers import Logger, read_logger
from edge.hj212.mapped import Mapped
from edge.hj212.rows import to_rows
from edge.hj212.segment import Group
from fakes.hj212_streams import HOUR, MN, REALTIME, a_packet, one_of
from plant.channels import CHANNELS
from plant.errors import Fault
from plant.reading import Reader

EIGHT = 1_767_225_600_000  #: 2026-01-01 08:00 at UTC+8
LOGGER = Logger(mn=MN, stack="DA001", unit="S1")
TIME = {"DataTime": "20260101080000"}


def mapped(*groups: Group, cn: str = "2011", logger: Logger = LOGGER, **changed: Any) -> Mapped:
    return to_rows(a_packet(TIME, *(dict(group) for group in groups), cn=cn, **changed), logger)  # type: ignore[arg-type]


def logger_of(toml: str) -> tuple[Logger, list[str]]:
    faults: list[Fault] = []
    table = Reader(tomllib.loads(toml), "", faults)
    logger = read_logger(table)
    table.finish()
    return logger, [f"{fault.path}: {fault.message}" for fault in faults]


def test_real_time_data_are_one_row_of_the_stack() -> None:
    found = to_rows(one_of(REALTIME + b"\r\n"), LOGGER)
    (row,) = found.measurements
    assert row == {
        "stack": "DA001",
        "sampled_at": EIGHT,
        "so2": 12.3,
        "so2_corrected": 17.6,
        "nox": 25.0,
        "nox_corrected": 35.7,
        "pm": 3.5,
        "pm_corrected": 5.0,
        "o2": 17.5,
    }
    assert (found.means, found.signals, found.left) == ([], [], [])


def test_an_hour_is_a_mean_by_channel() -> None:
    found = to_rows(one_of(HOUR + b"\r\n"), LOGGER)
    (row,) = found.means
    assert row == {
        "stack": "DA001",
        "sampled_at": EIGHT,
        "interval_s": 3600,
        "channel": "so2",
        "amount": 1.2,
        "min": 10.1,
        "avg": 12.3,
        "max": 15.0,
        "corrected_min": 14.4,
        "corrected_avg": 17.6,
        "corrected_max": 21.4,
    }
    assert (found.measurements, found.signals, found.left) == ([], [], [])


@pytest.mark.parametrize(
    ("code", "sent", "channel", "kept"),
    [
        ("a00000", "5.407", "flow", 19_465.2),
        ("B02", "1.1", "flow", 3_960.0),
        ("a01013", "-0.069", "pressure", -69.0),
        ("S08", "1.005", "pressure", 1_005.0),
        ("a01014", "8.6", "moisture", 8.6),
        ("S05", "8.6", "moisture", 8.6),
        ("a01012", "138.5", "temperature", 138.5),
        ("a01011", "11.2", "velocity", 11.2),
        ("S01", "17.5", "o2", 17.5),
        ("01", "3.5", "pm", 3.5),
        ("02", "12", "so2", 12.0),
        ("03", "+.5", "nox", 0.5),
        ("a21001", "1.25", "nh3", 1.25),
        ("a05002", "0.886", "a05002", 0.886),
        ("O3", "185.1", "hj212_O3", 185.1),
        ("stack", "1", "hj212_stack", 1.0),
        ("Nh3-scr", "4.1", "hj212_Nh3-scr", 4.1),
    ],
)
def test_codes_old_and_new_are_channels_in_our_units(code: str, sent: str, channel: str, kept: float) -> None:
    found = mapped({f"{code}-Rtd": sent, f"{code}-Flag": "N"})
    assert found.measurements == [{"stack": "DA001", "sampled_at": EIGHT, channel: kept}]
    assert found.left == []


def test_every_code_of_the_table_has_one_channel() -> None:
    channels = [entry.channel for entry in CODES.values()]
    assert len(set(channels)) == len(channels)
    measured = {name for name in CHANNELS if name[:5] not in ("power", "load_")}
    assert measured <= set(channels)


@pytest.mark.parametrize(
    ("channel", "value", "code", "sent"),
    [
        ("flow", 19_465.2, "a00000", "5.4"),
        ("pressure", -69.0, "a01013", "-0.069"),
        ("so2", 12.345, "a21026", "12.34"),
        ("so2", 12.355, "a21026", "12.36"),
        ("nox", 0.25, "a21002", "0.2"),
        ("o2", -0.04, "a19001", "0.0"),
        ("pm", 1e-7, "a34013", "0.0"),
        ("flow", 1e12, "a00000", "277777777.8"),
    ],
)
def test_our_values_are_written_in_the_units_and_digits_of_the_standard(
    channel: str, value: float, code: str, sent: str
) -> None:
    assert BY_CHANNEL[channel] == code
    assert CODES[code].written(value) == sent


@given(st.sampled_from(sorted(CODES)), st.decimals(-9_999, 9_999, places=4))
def test_what_is_written_of_a_channel_is_read_again(code: str, number: Decimal) -> None:
    entry = CODES[code]
    sent = str(number.quantize(Decimal(1).scaleb(-entry.decimals)))
    assert float(entry.written(entry.scale.apply(sent))) == float(sent)


@pytest.mark.parametrize(
    ("code", "sent", "kept"), [("a00000", "19191.973", 19_191.973), ("a21026", "1.2", 1.2), ("a21001", "250", 0.25)]
)
def test_amounts_are_kg_and_those_of_the_flow_m3(code: str, sent: str, kept: float) -> None:
    (row,) = mapped({f"{code}-Cou": sent}, cn="2061").means
    assert row["amount"] == kept
    assert "avg" not in row


@pytest.mark.parametrize(("cn", "interval_s"), [("2051", 600), ("2061", 3600), ("2031", 86_400), ("2111", 300)])
def test_a_mean_stands_for_the_period_of_its_command(cn: str, interval_s: int) -> None:
    midnight = {"DataTime": "20260101000000"}
    found = to_rows(a_packet(midnight, {"a21026-Avg": "1"}, cn=cn), LOGGER)
    (row,) = found.means
    assert (row["sampled_at"], row["interval_s"]) == (EIGHT - 8 * 3_600_000, interval_s)
    assert found.left == []


def test_a_logger_may_name_periods_by_their_end() -> None:
    at_end = Logger(mn=MN, stack="DA001", stamped_at_end=True)
    (row,) = mapped({"a21026-Avg": "1"}, cn="2061", logger=at_end).means
    assert row["sampled_at"] == EIGHT - 3_600_000
    (instant,) = mapped({"a21026-Rtd": "1"}, logger=at_end).measurements
    assert instant["sampled_at"] == EIGHT


def test_a_period_that_does_not_begin_where_such_periods_do_is_told_and_kept() -> None:
    found = to_rows(a_packet({"DataTime": "20260101080700"}, {"a21026-Avg": "1"}, cn="2061"), LOGGER)
    assert found.means[0]["sampled_at"] == EIGHT + 7 * 60_000
    assert found.left_by_kind() == {"period_unaligned": 1}


# ---- flags and values ----


@pytest.mark.parametrize("flag", "FMSDCTB")
def test_flags_of_table_8_stay_with_their_channel(flag: str) -> None:
    (row,) = mapped({"a21026-Rtd": "1.5", "a21026-Flag": flag}, {"a21002-Rtd": "2", "a21002-Flag": "N"}).measurements
    assert (row["so2"], row["nox"], row["flags"]) == (1.5, 2.0, {"so2": flag})
    (mean,) = mapped({"a21026-Avg": "1.5", "a21026-Flag": flag}, cn="2061").means
    assert (mean["avg"], mean["flag"]) == (1.5, flag)


@pytest.mark.parametrize("flag", ["P", "n", "NN", "0"])
def test_a_flag_that_is_not_in_the_table_takes_the_value_away_and_is_told(flag: str) -> None:
    found = mapped({"a21026-Rtd": "1.5", "a21026-Flag": flag})
    assert found.measurements == [{"stack": "DA001", "sampled_at": EIGHT, "so2": None}]
    assert found.left_by_kind() == {"flag_unknown": 1}
    assert found.left[0].name == "a21026-Flag"


def test_a_site_says_what_a_flag_of_its_logger_means() -> None:
    logger = Logger(mn=MN, stack="DA001", flags={"P": "F"})
    (row,) = mapped({"a21026-Rtd": "1.5", "a21026-Flag": "P"}, logger=logger).measurements
    assert (row["so2"], row["flags"]) == (1.5, {"so2": "F"})


@pytest.mark.parametrize("flag", [{}, {"a21026-Flag": ""}])
def test_no_flag_is_normal(flag: dict[str, str]) -> None:
    (row,) = mapped({"a21026-Rtd": "1.5", **flag}).measurements
    assert row == {"stack": "DA001", "sampled_at": EIGHT, "so2": 1.5}


@pytest.mark.parametrize("text", ["--", "*", "", "NaN", "inf", "1e999", "0x10", "１", "1_0", "null"])
def test_what_is_no_number_is_null_and_told(text: str) -> None:
    found = mapped({"a21026-Rtd": text, "a21026-Flag": "D"})
    assert found.measurements == [{"stack": "DA001", "sampled_at": EIGHT, "so2": None, "flags": {"so2": "D"}}]
    assert found.left_by_kind() == {"not_a_number": 1}


def test_one_thing_in_two_groups_is_one_thing() -> None:
    (row,) = mapped({"02-Rtd": "1", "02-Flag": "D"}, {"01-Rtd": "2"}, {"02-ZsRtd": "3"}).measurements
    assert row == {
        "stack": "DA001",
        "sampled_at": EIGHT,
        "so2": 1.0,
        "so2_corrected": 3.0,
        "pm": 2.0,
        "flags": {"so2": "D", "so2_corrected": "D"},
    }


def test_of_two_values_for_one_thing_none_is_taken() -> None:
    found = mapped({"a21026-Rtd": "1", "a21026-Flag": "N"}, {"a21026-Rtd": "2"})
    assert found.measurements[0]["so2"] is None
    assert found.left_by_kind()["contradicted"] == 1
    same = mapped({"a21026-Rtd": "1"}, {"a21026-Rtd": "1"})
    assert (same.measurements[0]["so2"], same.left) == (1.0, [])
    flags = mapped({"a21026-Rtd": "1", "a21026-Flag": "N"}, {"a21026-Flag": "D"})
    assert flags.measurements[0]["so2"] is None


def test_of_two_codes_for_one_channel_the_first_counts() -> None:
    found = mapped({"a21026-Rtd": "1", "a21026-Flag": "N"}, {"02-Rtd": "2", "02-Flag": "D"})
    assert found.measurements == [{"stack": "DA001", "sampled_at": EIGHT, "so2": 1.0}]
    assert [(left.why, left.name) for left in found.left] == [("second_code", "02-Rtd")]
    means = mapped({"a21026-Avg": "1"}, {"02-Avg": "2"}, cn="2061")
    assert ([row["avg"] for row in means.means], means.left_by_kind()) == ([1.0], {"second_code": 1})


def test_suffixes_and_codes_in_other_letters_are_taken_and_told() -> None:
    found = mapped({"A21026-rtd": "1.5", "A21026-FLAG": "C"})
    assert found.measurements == [{"stack": "DA001", "sampled_at": EIGHT, "so2": 1.5, "flags": {"so2": "C"}}]
    assert set(found.left_by_kind()) == {"key_case"}


def test_a_sample_stands_at_its_own_time() -> None:
    found = mapped(
        {"a20057-SampleTime": "20260101073000", "a20057-Rtd": "0.02", "a20057-Flag": "N"}, {"a21026-Rtd": "1"}
    )
    assert sorted((row["sampled_at"], set(row) - {"stack", "sampled_at"}) for row in found.measurements) == [
        (EIGHT - 1_800_000, {"hg"}),
        (EIGHT, {"so2"}),
    ]


# ---- signals ----


def test_process_codes_and_equipment_are_signals() -> None:
    found = mapped({"g10201-Rtd": "85.2", "g10201-Flag": "N"}, {"g30101-Rtd": "3", "g30101-Flag": "C"}, {"SB1-RS": "1"})
    head = {"sampled_at": EIGHT, "unit": "S1", "stack": "DA001"}
    assert [{**row} for row in found.signals] == [
        {**head, "signal": "g10201", "value": 85.2},
        {**head, "signal": "g30101", "value": 3.0, "flag": "C"},
        {**head, "signal": "SB1-RS", "value": 1.0},
    ]
    assert (found.measurements, found.left) == ([], [])


def test_a_mean_of_a_signal_has_its_period_in_its_name() -> None:
    found = mapped({"g10201-Avg": "85", "g10201-Max": "90"}, {"SB1-RT": "23"}, cn="2061")
    assert {row["signal"]: row["value"] for row in found.signals} == {
        "g10201-Avg-3600s": 85.0,
        "g10201-Max-3600s": 90.0,
        "SB1-RT": 23.0,
    }


def test_field_information_belongs_to_its_instrument() -> None:
    found = mapped(
        {"PolId": "a21026"},
        {"i13001-Info": "500"},
        {"i12001-Info": "0"},
        {"PolId": "a21002"},
        {"i13001-Info": "300"},
        cn="3020",
    )
    assert {row["signal"]: row["value"] for row in found.signals} == {
        "i13001-a21026": 500.0,
        "i12001-a21026": 0.0,
        "i13001-a21002": 300.0,
    }
    log = mapped({"PolId": "a21026"}, {"i11001-Info": "//清洗//"}, cn="3020")
    assert (log.signals, log.left_by_kind()) == ([], {"text": 1})


# ---- what gives no rows, and what is sent again ----


def test_a_packet_whose_check_value_is_wrong_gives_no_rows() -> None:
    found = to_rows(one_of(REALTIME[:-4] + b"0000\r\n"), LOGGER)
    assert (list(found.by_kind()), found.left_by_kind()) == ([], {"not_intact": 1})


@pytest.mark.parametrize(
    ("groups", "changed", "why"),
    [
        pytest.param([{"a21026-Rtd": "1"}], {"st": "32"}, "other_system", id="a_water_station"),
        pytest.param([{"a21026-Rtd": "1"}], {"st": "51"}, "other_system", id="the_process_side"),
        pytest.param([{"a21026-Foo": "1"}], {}, "suffix", id="an_unknown_suffix"),
        pytest.param([{"a21026-EFlag": "A01"}], {}, "text", id="a_flag_of_the_vendor"),
        pytest.param([{"g10201-SN": "0" * 24}], {"cn": "3020"}, "text", id="a_serial_number"),
        pytest.param([{"a21026-Avg": "1"}], {}, "suffix", id="a_mean_in_real_time_data"),
        pytest.param([{"a21026-Rtd": "1"}], {"cn": "2061"}, "suffix", id="a_real_time_value_in_an_hour"),
        pytest.param([{"a.b-Rtd": "1"}], {}, "name", id="a_code_that_is_no_name"),
        pytest.param([{"PolId": "x" * 99}, {"i13001-Info": "1"}], {"cn": "3020"}, "name", id="a_polid_that_is_no_name"),
        pytest.param([{"g10201-Foo": "1"}], {}, "suffix", id="an_unknown_suffix_of_a_signal"),
        pytest.param([{"a05002-Cou": "1"}], {"cn": "2061"}, "unit_unknown", id="an_amount_of_an_unknown_code"),
    ],
)
def test_what_is_in_no_row_is_told(groups: list[dict[str, str]], changed: dict[str, Any], why: str) -> None:
    found = mapped(*groups, **changed)
    assert list(found.by_kind()) == []
    assert found.left_by_kind() == {why: 1}


def test_data_without_a_time_are_told() -> None:
    found = to_rows(a_packet({"DataTime": "yesterday"}, {"a21026-Rtd": "1"}), LOGGER)
    assert (list(found.by_kind()), found.left_by_kind()) == ([], {"no_time": 1})


def test_data_of_a_logger_without_a_stack_are_told() -> None:
    found = mapped({"a21026-Rtd": "1"}, {"g10201-Rtd": "1"}, logger=Logger(mn=MN, unit="S1"))
    assert found.left_by_kind() == {"no_stack": 1}
    assert [row["signal"] for row in found.signals] == ["g10201"]


@pytest.mark.parametrize("cn", ["9014", "1062", "2012", "4711", "2081"])
def test_a_command_without_data_of_ours_gives_nothing(cn: str) -> None:
    found = mapped({"a21026-Rtd": "1"}, cn=cn)
    assert (list(found.by_kind()), found.left) == ([], [])


def test_a_request_for_data_gives_nothing() -> None:
    found = to_rows(a_packet({"BeginTime": "20260101080000"}, {"EndTime": "20260101080000"}, cn="2061"), LOGGER)
    assert (list(found.by_kind()), found.left) == ([], [])


def test_a_re_send_raises_the_revision_of_every_row() -> None:
    again: dict[str, Any] = {"flag": 8, "resend": True}
    found = mapped({"a21026-Rtd": "1"}, {"g10201-Rtd": "2"}, **again)
    mean = mapped({"a21026-Avg": "1"}, cn="2061", **again)
    assert [row["revision"] for _, rows in (*found.by_kind(), *mean.by_kind()) for row in rows] == [1, 1, 1]
    assert "revision" not in mapped({"a21026-Rtd": "1"}).measurements[0]


def test_rows_travel() -> None:
    groups = ({"a21026-Rtd": "1", "a21026-Flag": "C"}, {"g10201-Rtd": "2"}, {"a21002-Rtd": "--"})
    found, mean = mapped(*groups), mapped({"a21026-Avg": "1", "a21026-Flag": "C"}, {"a00000-Avg": "2"}, cn="2061")
    kinds = []
    for kind, rows in (*found.by_kind(), *mean.by_kind()):
        check_rows(rows, kind)
        kinds.append(columns_of(rows, kind).get("kind", "measurement"))
    assert kinds == ["measurement", "signal", "reported_mean"]


# ---- what a site says ----


def test_a_site_says_where_its_logger_departs_from_the_standard() -> None:
    logger, faults = logger_of("""
        mn = "A"
        stack = "DA001"
        unit = "S1"
        realtime_interval = "1min"
        minute_interval = "5min"
        systems = ["31", "22"]
        codes.a00000 = { unit = "m3/h" }
        codes.g12001 = { stack = "IN01", channel = "nox" }
        codes.x01 = { signal = "fan" }
        codes.a24088 = { amount_unit = "g" }
        codes.B03 = { channel = "temperature", unit = "K" }
        flags.P = "F"
    """)
    assert faults == []
    groups = [{"a00000-Rtd": "5000"}, {"g12001-Rtd": "210"}, {"x01-Rtd": "1"}, {"B03-Rtd": "300"}, {"a21026-Rtd": "1"}]
    found = mapped(*groups, logger=logger, st="22")
    here, inlet = found.measurements
    assert here == {
        "stack": "DA001",
        "sampled_at": EIGHT,
        "interval_s": 60,
        "flow": 5000.0,
        "temperature": 26.85,
        "so2": 1.0,
    }
    assert (inlet["stack"], inlet["nox"]) == ("IN01", 210.0)
    assert [row["signal"] for row in found.signals] == ["fan"]
    (mean,) = mapped({"a24088-Cou": "500"}, cn="2051", logger=logger).means
    assert (mean["amount"], mean["interval_s"]) == (0.5, 300)


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ('stack = "A"', "mn: is required"),
        ('mn = "A"', "stack: is required"),
        ('mn = "A"\nstack = "a b"', "stack: must be"),
        ('mn = "A"\nstack = "B"\nminute_interval = "7min"', "minute_interval: must be 1, 2"),
        ('mn = "A"\nstack = "B"\nrealtime_interval = "soon"', "realtime_interval: must be a span"),
        ('mn = "A"\nstack = "B"\ndata_time = "middle"', "data_time: must be one of"),
        ('mn = "A"\nstack = "B"\nflags.P = "Q"', "flags.P: must be one of"),
        ('mn = "A"\nstack = "B"\nflags.D = "N"', "flags.D: is a flag of table 8"),
        ('mn = "A"\nstack = "B"\ncodes.a21026 = { unit = "ppb" }', "codes.a21026.unit: so2 cannot be given in"),
        ('mn = "A"\nstack = "B"\ncodes.g10101 = { unit = "A" }', "codes.g10101.unit: belongs to a channel"),
        ('mn = "A"\nstack = "B"\ncodes.x = { channel = "flags" }', "codes.x.channel: 'flags' is the name of a column"),
        ('mn = "A"\nstack = "B"\ncodes.x = { chanel = "so2" }', "codes.x.chanel"),
        ('mn = "A"\nunit = "U"\ncodes.x = { channel = "so2" }', "codes.x.stack: is required"),
    ],
)
def test_what_is_wrong_in_a_logger_is_named_by_its_key(toml: str, fault: str) -> None:
    assert any(told.startswith(fault) for told in logger_of(toml)[1]), logger_of(toml)[1]


def test_a_peer_that_invents_codes_fills_no_memory() -> None:
    logger = Logger(mn=MN, stack="DA001")
    tracemalloc.start()
    for number in range(400):
        groups = ({f"a{number:05}-Rtd": "1"}, {f"{number:05}{'x' * 4_000}-Rtd": "1"}, {"EndTime": "9" * 4_000})
        mapped(*groups, logger=logger)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
