"""Rule packs: every figure as the regulation sheet has it, every fault named."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from plant.errors import BadDocument, NotFound
from plant.packs import SOURCE, Period, all_packs, outlets_by_pack, pack, parse_pack

#: Regulation 1.1, typed from the table: outlet, base oxygen, PM, SO2, NOx.
ULE = """
sinter_head,16,10,35,50
pellet_shaft,16,10,35,50
pellet_grate_kiln,18,10,35,50
pellet_straight_grate,18,10,35,50
sinter_tail_other,none,10,,
coke_chimney,8,10,30,150
coke_charging,none,10,,
coke_pushing,none,10,,
coke_cdq,none,10,50,
hot_blast_stove,none,10,50,200
bf_casthouse,none,10,,
bf_stockhouse,none,10,,
hot_metal_pretreat,none,10,,
bof_secondary,none,10,,
eaf,none,10,,
lime_kiln,none,10,,
dolomite_kiln,none,10,,
heat_treat_furnace,8,10,50,200
gas_boiler,3,5,35,50
coal_boiler,6,10,35,50
gas_turbine,15,5,35,50
oil_boiler,3,10,35,50
"""

#: Regulation 2.1, the same columns.
GB28662_ORDINARY = """
sinter_head,16,50,200,300
pellet_shaft,16,50,200,300
pellet_grate_kiln,18,50,200,300
pellet_straight_grate,18,50,200,300
sinter_tail_other,none,30,,
"""
GB28662_SPECIAL = """
sinter_head,16,40,180,300
pellet_shaft,16,40,180,300
pellet_grate_kiln,18,40,180,300
pellet_straight_grate,18,40,180,300
sinter_tail_other,none,20,,
"""


#: The confidence marks of the sheet's section 0.1; a pack opens with one of them.
MARKED = re.compile(r"V-[PS]|K-[HML]|C\b|D\b|\?")


def figures(table: str) -> dict[str, tuple[float | None, dict[str, float]]]:
    found = {}
    for line in table.split():
        outlet, base, *limits = line.split(",")
        named = {name: float(value) for name, value in zip(("pm", "so2", "nox", "nh3"), limits, strict=False) if value}
        found[outlet] = (None if base == "none" else float(base), named)
    return found


#: Regulation 2.2.
GB28663_ORDINARY = """
hot_blast_stove,none,20,100,300
bf_casthouse,none,25,,
iron_other,none,25,,
"""
GB28663_SPECIAL = """
hot_blast_stove,none,15,100,300
bf_casthouse,none,15,,
iron_other,none,10,,
"""
#: Regulation 2.3.
GB28664_ORDINARY = """
bof_primary,none,50,,
hot_metal_pretreat,none,20,,
bof_secondary,none,20,,
eaf,none,20,,
refining,none,20,,
caster_cutting,none,30,,
lime_kiln,none,30,,
dolomite_kiln,none,30,,
slag_treatment,none,100,,
steel_other,none,20,,
"""
GB28664_SPECIAL = """
bof_primary,none,50,,
hot_metal_pretreat,none,15,,
bof_secondary,none,15,,
eaf,none,15,,
refining,none,15,,
caster_cutting,none,30,,
lime_kiln,none,30,,
dolomite_kiln,none,30,,
slag_treatment,none,100,,
steel_other,none,15,,
"""
#: Regulation 2.4.
GB28665_ORDINARY = """
hot_finishing_mill,none,30,,
heat_treat_furnace,none,20,150,300
roll_other,none,20,,
acid_regeneration,none,30,,
"""
GB28665_SPECIAL = """
hot_finishing_mill,none,20,,
heat_treat_furnace,none,15,150,300
roll_other,none,15,,
acid_regeneration,none,30,,
"""
#: Regulation 2.5.
GB16171_ORDINARY = """
coke_chimney,none,30,50,500
coke_chimney_heat_recovery,none,30,100,200
coke_charging,none,50,100,
coke_pushing,none,50,50,
coke_cdq,none,50,100,
coal_crushing,none,30,,
coke_tube_furnace,none,30,50,200
"""
GB16171_SPECIAL = """
coke_chimney,none,15,30,150
coke_charging,none,30,70,
coke_pushing,none,30,30,
coke_cdq,none,30,80,
coal_crushing,none,15,,
coke_tube_furnace,none,15,30,150
"""
#: Regulation 2.6; in high-sulfur areas SO2 is "up to 400", which is no number to judge by.
GB13223_NEW = """
coal_boiler,6,30,100,100
coal_boiler_w_flame_cfb,6,30,100,200
gas_boiler_natural,3,5,35,100
gas_boiler_other,3,10,100,200
gas_turbine_natural,15,5,35,50
gas_turbine_other,15,10,100,120
oil_boiler,3,30,100,100
"""
GB13223_EXISTING = """
coal_boiler,6,30,200,100
coal_boiler_w_flame_cfb,6,30,200,200
coal_boiler_high_sulfur,6,30,,100
gas_boiler_natural,3,5,35,100
gas_boiler_other,3,10,100,200
gas_turbine_natural,15,5,35,50
gas_turbine_other,15,10,100,120
oil_boiler,3,30,200,200
"""
#: Regulation 2.7, with a column of ammonia.
COKING_ULE = """
coke_chimney,8,10,30,150,8
coke_charging,none,10,,,
coke_pushing,none,10,,,
coke_cdq,none,10,,,
"""
CEMENT_ULE = """
cement_kiln,10,10,35,50,
cement_dryer,8,10,35,50,
cement_other,none,10,,,
"""
GB4915_ORDINARY = """
cement_kiln,10,30,200,400,10
cement_cooler,none,30,,,
cement_mill,none,20,,,
"""
GB4915_SPECIAL = """
cement_kiln,10,20,100,320,8
cement_cooler,none,20,,,
cement_mill,none,10,,,
"""
FIGURES = {
    "cn-steel-ule-2019": ULE,
    "cn-gb28662-ordinary": GB28662_ORDINARY,
    "cn-gb28662-special": GB28662_SPECIAL,
    "cn-gb28663-ordinary": GB28663_ORDINARY,
    "cn-gb28663-special": GB28663_SPECIAL,
    "cn-gb28664-ordinary": GB28664_ORDINARY,
    "cn-gb28664-special": GB28664_SPECIAL,
    "cn-gb28665-ordinary": GB28665_ORDINARY,
    "cn-gb28665-special": GB28665_SPECIAL,
    "cn-gb16171-2012-ordinary": GB16171_ORDINARY,
    "cn-gb16171-2012-special": GB16171_SPECIAL,
    "cn-gb13223-new": GB13223_NEW,
    "cn-gb13223-existing": GB13223_EXISTING,
    "cn-gb13223-special": "coal_boiler,6,20,50,100",
    "cn-coal-power-ule-2015": "coal_boiler,6,10,35,50",
    "cn-coking-ule-2024": COKING_ULE,
    "cn-cement-ule-2024": CEMENT_ULE,
    "cn-gb4915-ordinary": GB4915_ORDINARY,
    "cn-gb4915-special": GB4915_SPECIAL,
}
#: The regulation sheet has no number for these.
WITHOUT_NUMBERS = {"cn-gb16171-2024", "eu-waste-incineration", "us-boiler-30-day", "example-nonferrous"}


@pytest.mark.parametrize(("name", "table"), FIGURES.items(), ids=FIGURES)
def test_the_figures_of_a_pack_are_those_of_the_sheet(name: str, table: str) -> None:
    outlets = pack(name).outlets
    found = {
        key: (outlet.base_o2_vol_pct, {p: limit.mg_m3 for p, limit in outlet.limits.items()})
        for key, outlet in outlets.items()
    }
    assert found == figures(table)


@pytest.mark.parametrize("name", sorted(all_packs()))
def test_every_pack_says_where_its_figures_come_from_and_how_sure_they_are(name: str) -> None:
    rules = pack(name)
    assert rules.instrument
    assert rules.clause
    assert rules.title_zh
    assert MARKED.match(rules.mark)
    assert all(MARKED.match(outlet.mark) and outlet.name_zh for outlet in rules.outlets.values())
    assert rules.text == SOURCE.joinpath(f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(name for name in all_packs() if name.startswith("cn-")))
def test_every_chinese_pack_averages_as_section_5_of_the_contract_says(name: str) -> None:
    rule = pack(name).averaging
    assert (rule.min_minute_cover, rule.min_valid_minutes, rule.not_running_minutes) == (0.75, 45, 45)
    assert (rule.oxygen_at_ambient_vol_pct, rule.oxygen_in_air_vol_pct, rule.ended_after_s) == (20.9, 21.0, 120)
    assert (rule.period, pack(name).compare, pack(name).decimals) == (Period.HOUR, "full", 6)
    day = pack(name).day
    assert day is not None
    assert (day.of, day.min_valid, day.min_valid_days, day.min_valid_days_february) == (Period.HOUR, 20, 25, 23)


def test_only_the_policy_has_a_monthly_share() -> None:
    assert {name: rules.kind for name, rules in all_packs().items() if rules.month is not None} == {
        "cn-steel-ule-2019": "policy"
    }
    assert pack("cn-steel-ule-2019").valid_from == date(2019, 4, 28)


def test_the_version_changes_with_any_change_of_the_file() -> None:
    text = pack("cn-steel-ule-2019").text
    versions = {parse_pack(t, "p").version for t in (text, text, text + "\n", text.replace("so2 = 35", "so2 = 34", 1))}
    assert len(versions) == 3
    assert all(version.startswith("1+") for version in versions)


def test_a_figure_is_compared_as_it_is_written() -> None:
    month = pack("cn-steel-ule-2019").month
    assert month is not None
    assert month.required == Decimal("0.95")
    assert str(month.required) == "0.95"


def test_a_pack_or_outlet_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotFound, match=r"no rule pack 'eu'; there are .*cn-steel-ule-2019"):
        pack("eu")
    with pytest.raises(NotFound, match=r"no outlet 'kiln'; it has sinter_head"):
        pack("cn-gb28662-special").outlet("kiln")
    assert outlets_by_pack()["cn-gb28662-special"] == frozenset(figures(GB28662_SPECIAL))


A_PACK = """
name = "a-pack"
version = "1"
title = "t"
title_zh = "t"
instrument = "i"
clause = "c"
kind = "policy"
mark = "K-L"
decimals = 6
[averaging]
min_minute_cover = 0.75
min_valid_minutes = 45
not_running_minutes = 45
oxygen_at_ambient_vol_pct = 20.9
ended_after_s = 120
[month]
required = 0.95
min_valid_share = 0.75
clause = "c"
mark = "K-L"
[outlet.kiln]
name = "Kiln"
name_zh = "k"
base_o2 = 10
limits = { pm = 10 }
mark = "K-L"
"""


def without(line: str) -> Callable[[str], str]:
    return lambda text: text.replace(line + "\n", "", 1)


def instead(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        pytest.param(without('name = "a-pack"'), "name", "is required", id="no_name"),
        pytest.param(instead('"a-pack"', '"a pack"'), "name", "a name of 1 to 64", id="a_name_with_a_space"),
        pytest.param(without('version = "1"'), "version", "is required", id="no_version"),
        pytest.param(instead('"policy"', '"wish"'), "kind", "one of policy, statutory", id="unknown_kind"),
        pytest.param(instead("decimals = 6", "decimals = 10"), "decimals", "from 0 to 9", id="too_many_decimals"),
        pytest.param(instead("decimals = 6", "decimals = 6.0"), "decimals", "a whole number", id="decimals_no_integer"),
        pytest.param(instead("= 0.75", "= 0"), "averaging.min_minute_cover", "from 0.01 to 1", id="no_cover"),
        pytest.param(
            instead("valid_minutes = 45", "valid_minutes = 61"), "averaging.min_valid_minutes", "from 1 to 60", id="61"
        ),
        pytest.param(
            instead("= 20.9", "= 21"), "averaging.oxygen_at_ambient_vol_pct", "from 1 to 20.99", id="oxygen_of_21"
        ),
        pytest.param(instead("ended_after_s = 120", "ended = 1"), "averaging.ended_after_s", "is required", id="ended"),
        pytest.param(
            instead("ended_after_s = 120", "ended = 1"), "averaging.ended", "is not known here", id="misspelt"
        ),
        pytest.param(instead("required = 0.95", "required = 95"), "month.required", "a share from 0 to 1", id="95"),
        pytest.param(instead("required = 0.95", "required = nan"), "month.required", "a number", id="share_of_nan"),
        pytest.param(instead("required = 0.95", "required = '0.95'"), "month.required", "a number", id="share_as_text"),
        pytest.param(instead("base_o2 = 10", "base_o2 = 21"), "outlet.kiln.base_o2", "from 0 to 20.5", id="base_of_21"),
        pytest.param(
            instead("{ pm = 10 }", "{ pm = 0 }"), "outlet.kiln.limits.pm", "a number from 1e-06", id="limit_of_0"
        ),
        pytest.param(
            instead("{ pm = 10 }", "{ dust = 10 }"), "outlet.kiln.limits.dust", "is no channel", id="unknown_pollutant"
        ),
        pytest.param(instead("{ pm = 10 }", "{}"), "outlet.kiln.limits", "at least one pollutant", id="no_limit"),
        pytest.param(without('name_zh = "k"'), "outlet.kiln.name_zh", "is required", id="no_chinese_name"),
        pytest.param(
            instead("base_o2 = 10", "base_O2 = 10"), "outlet.kiln.base_O2", "is not known", id="misspelt_base"
        ),
        pytest.param(instead('kind = "policy"', 'kind = "policy"\nfrom = 1'), "from", "is not known", id="extra_key"),
        pytest.param(
            instead('mark = "K-L"', 'mark = "K-L"\nvalid_from = "soon"'), "valid_from", "a date such as", id="no_date"
        ),
        pytest.param(lambda text: text[: text.index("[outlet")], "outlet", "at least one outlet", id="no_outlet"),
        pytest.param(lambda text: text + "=", "", "is no TOML", id="no_toml"),
    ],
)
def test_each_fault_of_a_pack_is_named_with_its_key_path(change: Callable[[str], str], path: str, message: str) -> None:
    assert parse_pack(A_PACK, "a.toml").name == "a-pack"
    changed = change(A_PACK)
    assert changed != A_PACK
    with pytest.raises(BadDocument) as refused:
        parse_pack(changed, "a.toml")
    assert any(fault.path == path and message in fault.message for fault in refused.value.faults), refused.value


def test_all_faults_of_a_pack_are_named_at_once() -> None:
    broken = A_PACK.replace('"policy"', '"wish"').replace("= 45", "= 99").replace("pm = 10", "pm = 'ten'")
    with pytest.raises(BadDocument) as refused:
        parse_pack(broken, "a.toml")
    assert [fault.path for fault in refused.value.faults] == [
        "kind",
        "averaging.min_valid_minutes",
        "averaging.not_running_minutes",
        "outlet.kiln.limits.pm",
    ]
