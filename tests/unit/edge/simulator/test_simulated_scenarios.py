from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from edge.simulator.catalogue import CATALOGUE
from edge.simulator.scenario import Scenario, load_scenario
from edge.simulator.scenario_file import parse_scenario
from edge.simulator.toml_text import toml_text
from plant.errors import BadDocument
from plant.packs import outlets_by_pack
from plant.register import Register, parse_register

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
SHIPPED = ("demo", "one-stack", "clean-month", "faults", "country")
SMALL = """
name = "x"
timezone = "Asia/Shanghai"
[[works]]
code = "w"
count = 3
spread = 0.3
interval_s = 10
  [[works.stack]]
  code = "S"
  kind = "sinter_strand"
  count = 2
  units = ["U"]
  [[works.stack]]
  code = "H"
  kind = "hot_stove"
  [works.stack.channels.so2]
  unit = "ppm"
  range = [0, 100]
  [[works.stop]]
  unit = "U001"
  day = 2
  hours = 8
  [[works.fault]]
  kind = "bypass"
  stack = "S002"
  share = 0.3
  day = 2
  hour = 6.5
  hours = 3
  copies = [2]
"""


@pytest.fixture(scope="module")
def small() -> Scenario:
    return parse_scenario(SMALL, "small.toml")


def register_of(scenario: Scenario, site: str | None = None) -> Register:
    return parse_register(scenario.register_toml(site), "register", packs=outlets_by_pack())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_can_be_registered_and_played(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    if name == "country":
        assert sum(len(plan.stacks) for plan in scenario.sites) == 25_000
        scenario = Scenario(**{f: getattr(scenario, f) for f in Scenario.__slots__} | {"sites": scenario.sites[:2]})
    register = register_of(scenario)
    assert [site.code for site in register.sites] == [plan.code for plan in scenario.sites]
    for site, plan in zip(register.sites, scenario.sites, strict=True):
        assert site.simulated
        assert site.stacks == tuple(one.stack for one in plan.stacks)


def test_the_scenario_of_faults_has_each_once() -> None:
    (plan,) = load_scenario("faults").sites
    assert sorted(fault.kind for fault in plan.faults) == sorted(CATALOGUE)


def test_a_generator_makes_works_and_stacks_by_number(small: Scenario) -> None:
    assert [plan.code for plan in small.sites] == ["w-001", "w-002", "w-003"]
    assert [one.stack.code for one in small.sites[0].stacks] == ["S001", "S002", "H"]
    assert [one.stack.units for one in small.sites[0].stacks] == [("U001",), ("U002",), ("U-H",)]
    sizes = {one.size for plan in small.sites for one in plan.stacks}
    assert len(sizes) == 9
    assert all(0.7 <= size <= 1.3 for size in sizes)
    assert [len(plan.faults) for plan in small.sites] == [0, 1, 0]


def test_times_are_counted_from_the_beginning(small: Scenario) -> None:
    works = small.works("w-002", 1_000_000)
    (fault,), (stop,) = works.faults, works.stops
    assert fault.since_ms == 1_000_000 + round(30.5 * 3_600_000)
    assert fault.until_ms - fault.since_ms == 3 * 3_600_000
    assert (fault.id, fault.amount) == ("planned-1", 0.3)
    assert (stop.since_ms, stop.mode) == (1_000_000 + 24 * 3_600_000, "stop")
    assert works.step_s == 10


def test_what_the_register_knows_of_a_stack_is_written_as_there(small: Scenario) -> None:
    (site,) = register_of(small, "w-001").sites
    assert site.stacks[2].channel("so2").unit == "ppm"
    assert site.stacks[2].channel("so2").range == (0, 100)


def test_a_scenario_of_one_works_is_played_at_any_site_and_one_of_several_at_its_own(small: Scenario) -> None:
    one = load_scenario("one-stack")
    assert one.at("elsewhere").code == "elsewhere"
    assert register_of(one, "elsewhere").sites[0].code == "elsewhere"
    with pytest.raises(BadDocument, match="elsewhere"):
        small.at("elsewhere")


def test_the_past_begins_with_last_month_in_the_works_own_zone() -> None:
    demo, zone = load_scenario("demo"), ZoneInfo("Asia/Shanghai")
    assert demo.begin(NOW) == datetime(2026, 10, 1, tzinfo=zone)
    assert demo.begin(datetime(2026, 12, 31, 20, tzinfo=UTC)) == datetime(2026, 12, 1, tzinfo=zone)
    assert demo.begin(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2025, 12, 1, tzinfo=zone)


def test_what_is_wrong_in_a_scenario_is_all_said_at_once() -> None:
    with pytest.raises(BadDocument) as caught:
        parse_scenario(
            'name = "x"\ntimezone = "Asia/Tangshan"\nsped = 3\n[[works]]\ncode = "w"\ninterval_s = 7\n'
            '[[works.stack]]\ncode = "A"\nkind = "kiln"\n'
            '[[works.stack]]\ncode = "B"\nkind = "hot_stove"\ncalibration_at = "25:00"\npacks = ["none"]\n'
            '[[works.fault]]\nkind = "scr_trip"\nstack = "B"\nday = 0\nhours = 3\n'
            '[[works.fault]]\nkind = "drift"\nstack = "C"\nday = 1\nhours = 3\nshare = 2\ncopies = [2]\n',
            "x.toml",
        )
    said = str(caught.value)
    for part in (
        "timezone",
        "sped",
        "works[0].interval_s",
        "works[0].stack[0].kind",
        "works[0].stack[1].calibration_at",
        "works[0].stack[1].packs",
        "no abatement of nox",
        "works[0].fault[0].day",
        "works[0].fault[1].stack",
        "works[0].fault[1].share",
        "works[0].fault[1].copies",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("source", "channel", "says"),
    [
        ("A", "pm", "source: must be another stack"),
        ("D", "so2", "source: so2 has no analyser of its own at D"),
        ("nobody", "pm", "source: must be one of A, D"),
    ],
)
def test_a_stack_copies_another_that_measures_the_same(source: str, channel: str, says: str) -> None:
    text = (
        'name = "x"\ntimezone = "UTC"\n[[works]]\ncode = "w"\n'
        '[[works.stack]]\ncode = "A"\nkind = "hot_stove"\n[[works.stack]]\ncode = "D"\nkind = "dust_collector"\n'
        '[[works.fault]]\nkind = "copied_values"\nstack = "A"\nday = 1\nhours = 3\n'
    )
    with pytest.raises(BadDocument) as refused:
        parse_scenario(f'{text}channel = "{channel}"\nsource = "{source}"\n', "x.toml")
    assert says in str(refused.value)
    (plan,) = parse_scenario(f'{text}channel = "pm"\nsource = "D"\n', "x.toml").sites
    assert plan.faults[0].source == "D"


def test_an_empty_scenario_is_none() -> None:
    with pytest.raises(BadDocument, match=r"at least one \[\[works\]\]"):
        parse_scenario('name = "x"\ntimezone = "UTC"', "x.toml")
    with pytest.raises(BadDocument, match="is no TOML"):
        parse_scenario("name", "x.toml")


def test_an_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(BadDocument, match="there are clean-month"):
        load_scenario("nightmare")
    with pytest.raises(BadDocument, match="cannot be read"):
        load_scenario("nightmare.toml")


def test_what_has_no_form_in_toml_is_not_written() -> None:
    with pytest.raises(TypeError):
        toml_text({"x": None})
