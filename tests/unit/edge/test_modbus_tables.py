from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from edge.agent_file import read_agent_file
from edge.modbus.source import ModbusSource
from edge.modbus.tables import Network, Serial
from plant.errors import BadDocument

HEAD = 'site = "works-1"\nedge = "gateway-1"\n'
LINE = '[[modbus]]\nname = "line"\nhost = "127.0.0.1"\n'
GROUP = '[[modbus.group]]\nstack = "DA001"\n'
SO2 = '[[modbus.group.channel]]\nchannel = "so2"\naddress = 0\ntype = "float32"\n'


def source_of(folder: Path, text: str) -> ModbusSource:
    file = folder / "edge.toml"
    file.write_text(HEAD + text, encoding="utf-8")
    (declared,) = read_agent_file(file).sources
    assert isinstance(declared.source, ModbusSource)
    return declared.source


def faults_of(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(BadDocument) as caught:
        source_of(folder, text)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_a_table_says_how_the_line_is_reached_and_what_is_read(tmp_path: Path) -> None:
    plan = source_of(tmp_path, LINE + GROUP + SO2).plan
    assert plan.line.place == Network(host="127.0.0.1")
    assert not plan.line.rtu
    (poll,) = plan.polls
    assert [request.count for request in poll.requests] == [2]
    assert (poll.unit_id, poll.group.stack, poll.group.interval_s) == (1, "DA001", 10)


def test_a_serial_line_carries_several_devices(tmp_path: Path) -> None:
    line = '[[modbus]]\nserial = "/dev/ttyS1"\nbaud = 19200\nparity = "E"\n'
    second = GROUP.replace("DA001", "DA002") + "unit_id = 2\n" + SO2
    plan = source_of(tmp_path, line + GROUP + SO2 + second).plan
    assert plan.line.place == Serial(device="/dev/ttyS1", baud=19_200, parity="E")
    assert plan.line.rtu
    assert [poll.unit_id for poll in plan.polls] == [1, 2]


def test_a_map_in_a_file_of_its_own_serves_several_devices_and_its_change_makes_the_source_anew(tmp_path: Path) -> None:
    (tmp_path / "make.toml").write_text('order = "CDAB"\n' + SO2.replace("modbus.group.", ""), encoding="utf-8")
    text = LINE + GROUP + 'map = "make.toml"\n' + GROUP.replace("DA001", "DA002") + 'unit_id = 2\nmap = "make.toml"\n'
    plan = source_of(tmp_path, text).plan
    assert [poll.group.points[0].address.order for poll in plan.polls] == ["CDAB", "CDAB"]
    assert tmp_path / "make.toml" in read_agent_file(tmp_path / "edge.toml").files


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        pytest.param(LINE, "modbus[0].group", "is required", id="nothing_to_read"),
        pytest.param(LINE.replace("host", "hots"), "modbus[0]", "needs either serial", id="no_place"),
        pytest.param(
            LINE + GROUP.replace("stack", "stak") + SO2, "modbus[0].group[0].stack", "is required", id="no_stack"
        ),
        pytest.param(
            LINE + GROUP + SO2.replace("so2", "s02"),
            "modbus[0].group[0].channel[0].channel",
            "'s02' is none of",
            id="unknown_channel",
        ),
        pytest.param(
            LINE + GROUP + SO2.replace("so2", "flag") + "other = true\n",
            "modbus[0].group[0].channel[0].channel",
            "is a column of every row",
            id="a_column",
        ),
        pytest.param(
            LINE + GROUP + SO2 + SO2.replace("= 0", "= 8"),
            "modbus[0].group[0].channel[1].channel",
            "is read twice",
            id="channel_twice",
        ),
        pytest.param(
            LINE + GROUP + SO2 + SO2.replace("so2", "o2").replace("= 0", "= 1"),
            "modbus[0].group[0]",
            "overlaps: holding 0 (float32) reaches into 1 (float32)",
            id="overlapping_registers",
        ),
        pytest.param(
            LINE + GROUP + SO2 + GROUP + SO2,
            "modbus[0].group[1]",
            "overlaps: another group gives the rows of 'DA001'",
            id="overlapping_groups",
        ),
        pytest.param(
            LINE + GROUP + SO2 + 'order = "DACB"\n',
            "modbus[0].group[0].channel[0].order",
            "must be one of ABCD, CDAB, BADC, DCBA",
            id="bad_order",
        ),
        pytest.param(
            LINE + GROUP + SO2.replace("= 0", "= 65536"),
            "modbus[0].group[0].channel[0].address",
            "must be a whole number from 0 to 65535",
            id="address_out_of_range",
        ),
        pytest.param(
            LINE + GROUP + SO2.replace("= 0", "= 65535"),
            "modbus[0].group[0].channel[0].address",
            "leaves no room",
            id="address_without_room",
        ),
        pytest.param(
            LINE + GROUP + "interval_s = 7\n" + SO2,
            "modbus[0].group[0].interval_s",
            "must divide a minute",
            id="interval_off_the_grid",
        ),
        pytest.param(
            LINE + GROUP + SO2 + "scale = 0\n", "modbus[0].group[0].channel[0].scale", "must not be 0", id="scale_zero"
        ),
        pytest.param(
            LINE + GROUP + SO2 + "valid = [5, 1]\n",
            "modbus[0].group[0].channel[0].valid",
            "must be [lowest, highest]",
            id="valid_turned_round",
        ),
        pytest.param(
            LINE + GROUP + SO2 + "not_available = 5\n",
            "modbus[0].group[0].channel[0].not_available",
            "must be a list of numbers",
            id="not_available_is_no_list",
        ),
        pytest.param(
            LINE + GROUP + SO2 + '[[modbus.group.status]]\naddress = 9\nbits = { 0 = "X" }\n',
            "modbus[0].group[0].status[0].bits.0",
            "must be one of",
            id="unknown_flag",
        ),
        pytest.param(
            LINE + GROUP + SO2 + '[[modbus.group.status]]\naddress = 9\nof = ["o2"]\nbits = { 0 = "D" }\n',
            "modbus[0].group[0].status[0].of",
            "is no channel or signal",
            id="status_of_nothing",
        ),
        pytest.param(
            LINE + GROUP + SO2 + "[[modbus.group.status]]\naddress = 9\n",
            "modbus[0].group[0].status[0]",
            "says nothing",
            id="status_says_nothing",
        ),
        pytest.param(
            LINE + GROUP + SO2 + '[[modbus.group.status]]\naddress = 9\ntype = "float32"\nbits = { 0 = "D" }\n',
            "modbus[0].group[0].status[0].type",
            "must be one of",
            id="status_is_no_whole_number",
        ),
        pytest.param(
            LINE + GROUP + 'precedence = "BDF"\n' + SO2,
            "modbus[0].group[0].precedence",
            "must name each of",
            id="precedence_leaves_flags_out",
        ),
        pytest.param(
            LINE + GROUP + SO2 + "adress = 1\n", "modbus[0].group[0].channel[0].adress", "is not known here", id="typo"
        ),
        pytest.param(
            LINE + GROUP + 'map = "gone.toml"\n', "modbus[0].group[0].map", "cannot be read", id="map_is_missing"
        ),
        pytest.param(
            '[[modbus]]\nserial = "/dev/ttyS1"\n' + GROUP + "unit_id = 0\n" + SO2,
            "modbus[0].group[0].unit_id",
            "from 1 to 247",
            id="broadcast_is_no_device",
        ),
    ],
)
def test_each_fault_is_named_with_the_path_of_its_key(tmp_path: Path, text: str, path: str, words: str) -> None:
    faults = faults_of(tmp_path, text)
    assert words in faults[path], faults


def test_a_fault_in_a_map_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "make.toml").write_text(SO2.replace("modbus.group.", "").replace("so2", "s02"), encoding="utf-8")
    faults = faults_of(tmp_path, LINE + GROUP + 'map = "make.toml"\n')
    assert "'s02' is none of" in faults["modbus[0].group[0].map(make.toml).channel[0].channel"]


def test_a_channel_of_no_column_is_taken_where_it_is_meant(tmp_path: Path) -> None:
    plan = source_of(tmp_path, LINE + GROUP + SO2.replace("so2", "hcl") + "other = true\n").plan
    assert plan.polls[0].group.points[0].name == "hcl"


def test_one_register_may_serve_two_purposes(tmp_path: Path) -> None:
    text = LINE + GROUP + SO2.replace("float32", "uint16")
    text += '[[modbus.group.status]]\naddress = 0\nbits = { 15 = "D" }\n'
    assert [request.count for request in source_of(tmp_path, text).plan.polls[0].requests] == [1]


@pytest.mark.parametrize(("kind", "library"), [("modbus", "pymodbus"), ("opcua", "asyncua")])
def test_a_library_that_is_not_there_is_a_fault_that_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"edge.{kind}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    assert f"pip install 'stackwatch[{kind}]'" in faults_of(tmp_path, f"[[{kind}]]\n")[f"{kind}[0]"]


EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
PAGE = EXAMPLES.parent / "fieldbus.md"


def test_the_example_in_the_manual_is_a_plan(tmp_path: Path) -> None:
    example = (EXAMPLES / "modbus.toml").read_text(encoding="utf-8")
    (tmp_path / "dust-meter.toml").write_text('[[channel]]\nchannel = "pm"\naddress = 1\n', encoding="utf-8")
    body, _, commented = example.partition("# [[modbus]]")
    lines = [line.removeprefix("#").removeprefix(" ") for line in f"# [[modbus]]{commented}".splitlines()]
    (tmp_path / "edge.toml").write_text(body + "\n".join(lines), encoding="utf-8")
    plan = read_agent_file(tmp_path / "edge.toml")
    assert [declared.source.name for declared in plan.sources] == ["analysers", "line-2"]


def test_each_key_of_the_tables_stands_in_the_manual() -> None:
    root = EXAMPLES.parents[1] / "edge"
    files = [*sorted((root / "fieldbus").glob("*.py")), root / "modbus" / "tables.py", root / "opcua" / "tables.py"]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    methods = r"text|identifier|one_of|number|maybe_number|exact|whole|boolean|texts|table|tables|raw"
    keys = set(re.findall(rf"\.(?:{methods})\(\"(\w+)\"", text))
    keys |= set(re.findall(r"_(?:words|numbers|name|file)\(\w+, (?:context, )?\"(\w+)\"", text))
    codes = re.findall(r"`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    named = {word for code in codes for word in re.findall(r"\w+", code)}
    assert {"scale", "mask", "certificate", "not_available", "hold_s"} <= keys
    assert keys - named == set()
