"""What a pack can say beyond an hour's limit: unset figures, other periods, days, shares, dates, other names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from plant.errors import BadDocument, NotFound, Refused
from plant.packs import (
    Averaging,
    Confidence,
    DayRule,
    MonthRule,
    Pack,
    Period,
    ShareRule,
    UnsetFigure,
    all_packs,
    outlets_by_pack,
    pack,
    parse_pack,
)
from plant.register import parse_register

A_PACK = """
name = "a-pack"
version = "1"
title = "t"
title_zh = "t"
instrument = "i"
clause = "c"
kind = "statutory"
mark = "K-L"
valid_from = 2020-01-01
valid_until = 2027-01-01
compare = "rounded"
decimals = 1
notes = ["n"]

[averaging]
period = "half_hour"
min_minute_cover = 0.75
min_valid_minutes = 20
not_running_minutes = 20
oxygen_at_ambient_vol_pct = 20.8
oxygen_in_air_vol_pct = 20.9
ended_after_s = 120

[day]
max_invalid = 5
window = "year"
max_lost_days = 10
clause = "c"
mark = "V-P"

[confidence]
of = "day_limit"
percent = { so2 = 20 }
clause = "c"
mark = "V-P"

[[share]]
key = "a"
over = "year"
column = "A"
required = 1
either = "ab"
clause = "c"
mark = "V-P"

[[share]]
key = "b"
over = "year"
column = "B"
required = 0.97
either = "ab"
clause = "c"
mark = "V-P"

[outlet.line]
name = "Line"
name_zh = "l"
also_as = ["line_1"]
base_o2 = 11
base_o2_mark = "K-M"
mark = "V-P"
not_judged.dioxin = { value = 0.1, unit = "ng/m3", mark = "K-H" }

[[outlet.line.also]]
period = "half_hour"
column = "A"
limits = { so2 = 200, nox = { mg_m3 = 400, mark = "K-L" }, pm = "unset" }

[[outlet.line.also]]
period = "half_hour"
column = "B"
limits = { so2 = 50 }

[[outlet.line.also]]
period = "day"
limits = { so2 = 50, pm = { mg_m3 = "unset", mark = "?" } }
mark = "K-H"
"""


def changed(old: str, new: str) -> str:
    assert old in A_PACK
    return A_PACK.replace(old, new, 1)


def a_pack(text: str = A_PACK) -> Pack:
    return parse_pack(text, "a.toml")


def test_a_limit_has_its_period_its_column_and_its_own_mark() -> None:
    line = a_pack().outlet("line")
    assert [(period, column) for period, column in line.by_period] == [
        (Period.HALF_HOUR, "A"),
        (Period.HALF_HOUR, "B"),
        (Period.DAY, ""),
    ]
    of_a = line.limits_of(Period.HALF_HOUR, "A")
    assert {p: (limit.mg_m3, limit.mark, limit.column) for p, limit in of_a.items()} == {
        "so2": (200.0, "V-P", "A"),
        "nox": (400.0, "K-L", "A"),
    }
    assert line.limits_of(Period.DAY)["so2"].mark == "K-H"
    assert line.limits_of(Period.ROLLING_30_DAY) == {}
    assert line.base_o2_mark == "K-M"


def test_a_limit_of_another_period_is_never_taken_for_one_of_an_hour() -> None:
    assert dict(a_pack().outlet("line").limits) == {}


def test_an_unset_limit_is_an_error_that_names_pack_and_key_and_is_not_listed() -> None:
    of_a = a_pack().outlet("line").limits_of(Period.HALF_HOUR, "A")
    assert list(of_a) == ["so2", "nox"]
    assert "pm" not in of_a
    for ask in (of_a.__getitem__, of_a.get):
        with pytest.raises(UnsetFigure, match=r"pack a-pack, outlet\.line\.also\[0\]\.limits\.pm is unset: .*\[V-P\]"):
            ask("pm")
    with pytest.raises(KeyError, match="hcl"):
        of_a["hcl"]
    assert issubclass(UnsetFigure, Refused)


def test_what_is_not_judged_is_told_with_its_reason() -> None:
    line = a_pack().outlet("line")
    told = [(s.pollutant, s.period, s.column, s.reason, s.path, s.mark) for s in line.skipped()]
    assert told == [
        ("pm", "half_hour", "A", "unset", "outlet.line.also[0].limits.pm", "V-P"),
        ("so2", "half_hour", "A", "period", "outlet.line.also[0].limits.so2", "V-P"),
        ("nox", "half_hour", "A", "period", "outlet.line.also[0].limits.nox", "K-L"),
        ("so2", "half_hour", "B", "period", "outlet.line.also[1].limits.so2", "V-P"),
        ("pm", "day", "", "unset", "outlet.line.also[2].limits.pm", "?"),
        ("so2", "day", "", "period", "outlet.line.also[2].limits.so2", "K-H"),
        ("dioxin", "", "", "no_channel", "outlet.line.not_judged.dioxin", "K-H"),
    ]
    everything = line.skipped(tuple(Period))
    assert {item.reason for item in everything} == {"unset", "no_channel"}


def test_the_mark_of_an_outlet_tells_what_is_less_sure_than_the_rest() -> None:
    assert a_pack().outlet("line").mark == "V-P; base O2 K-M; nox K-L; pm unset; so2 K-H; pm unset ?"
    assert pack("cn-gb28662-special").outlet("sinter_head").mark.endswith("; nox K-H")
    assert pack("cn-steel-ule-2019").outlet("pellet_shaft").mark == "V-S; base O2 K-H"
    assert "; base O2 unset; " in pack("eu-waste-incineration").outlet("waste_incinerator").mark


def test_without_its_base_oxygen_no_limit_of_an_outlet_can_be_asked_for() -> None:
    line = a_pack(changed("base_o2 = 11", 'base_o2 = "unset"')).outlet("line")
    with pytest.raises(UnsetFigure, match=r"pack a-pack, outlet\.line\.base_o2 is unset: .*\[K-M\]"):
        line.base_oxygen()
    with pytest.raises(UnsetFigure, match=r"outlet\.line\.base_o2 is unset"):
        line.limits_of(Period.DAY)["so2"]
    assert {item.reason for item in line.skipped(tuple(Period))} == {"unset", "no_channel"}
    assert a_pack().outlet("line").base_oxygen() == 11.0
    assert pack("cn-steel-ule-2019").outlet("bf_casthouse").base_oxygen() is None


def test_an_outlet_answers_to_its_other_names_and_is_listed_once() -> None:
    outlets = a_pack().outlets
    assert outlets["line_1"] is outlets["line"]
    assert "line_1" in outlets
    assert list(outlets) == ["line"]
    assert outlets.names == {"line", "line_1"}
    with pytest.raises(NotFound, match="no outlet 'line_2'; it has line"):
        a_pack().outlet("line_2")


def test_rules_of_days_shares_and_confidence_are_read_as_written() -> None:
    rules = a_pack()
    assert (rules.compare, rules.decimals, rules.notes, rules.example) == ("rounded", 1, ("n",), False)
    assert (rules.averaging.period, rules.averaging.oxygen_in_air_vol_pct) == (Period.HALF_HOUR, 20.9)
    assert rules.day is not None
    assert (rules.day.of, rules.day.max_invalid, rules.day.min_valid) == (Period.HALF_HOUR, 5, None)
    assert (rules.day.window, rules.day.max_lost_days) == ("year", 10)
    assert rules.confidence is not None
    assert rules.confidence.percent == {"so2": 20.0}
    assert [(share.of, share.column, share.required, share.either) for share in rules.shares] == [
        (Period.HALF_HOUR, "A", Decimal(1), "ab"),
        (Period.HALF_HOUR, "B", Decimal("0.97"), "ab"),
    ]


@pytest.mark.parametrize(
    ("day", "holds"),
    [
        pytest.param(date(2019, 12, 31), False, id="the_day_before"),
        pytest.param(date(2020, 1, 1), True, id="the_first_day"),
        pytest.param(date(2026, 12, 31), True, id="the_last_day"),
        pytest.param(date(2027, 1, 1), False, id="the_day_of_its_end"),
    ],
)
def test_a_pack_holds_from_its_first_day_to_the_one_before_its_end(day: date, holds: bool) -> None:
    assert a_pack().in_force(day) is holds


def test_a_pack_without_dates_holds_always() -> None:
    rules = pack("cn-gb28662-special")
    assert rules.in_force(date(1990, 1, 1))
    assert rules.in_force(date(2090, 1, 1))


def test_coking_changes_its_standard_on_the_day_of_the_sheet() -> None:
    old, new = pack("cn-gb16171-2012-special"), pack("cn-gb16171-2024")
    assert [old.in_force(date(2026, 12, 31)), old.in_force(date(2027, 1, 1))] == [True, False]
    assert [new.in_force(date(2025, 3, 31)), new.in_force(date(2025, 4, 1))] == [False, True]


def test_half_hours_of_waste_incineration_are_those_of_section_9() -> None:
    rules = pack("eu-waste-incineration")
    assert rules.confidence is not None
    percent = {"co": 10, "so2": 20, "nox": 20, "pm": 30, "toc": 30, "hcl": 40, "hf": 40}
    assert rules.confidence.percent == percent
    assert rules.day is not None
    assert (rules.day.max_invalid, rules.day.max_lost_days, rules.day.window) == (5, 10, "year")
    columns = {share.column: (share.required, share.either) for share in rules.shares[:2]}
    assert columns == {"A": (Decimal(1), "half_hours"), "B": (Decimal("0.97"), "half_hours")}
    with pytest.raises(UnsetFigure, match="eu-waste-incineration"):
        rules.outlet("waste_incinerator").limits_of(Period.HALF_HOUR, "A")["nox"]


def test_boilers_of_the_united_states_are_those_of_section_9() -> None:
    rules = pack("us-boiler-30-day")
    assert (rules.averaging.min_valid_quarters, rules.averaging.min_valid_quarters_in_qa) == (4, 2)
    assert rules.day is not None
    shares = (rules.day.min_valid_share, rules.day.min_valid_days_share, rules.day.window)
    assert shares == (Decimal("0.75"), Decimal("0.90"), "quarter")
    with pytest.raises(UnsetFigure, match="us-boiler-30-day"):
        rules.outlet("coal_boiler").limits_of(Period.ROLLING_30_DAY)["so2"]


def test_what_the_sheet_leaves_open_is_unset_and_the_rest_of_the_outlet_holds() -> None:
    for name, outlet, pollutant, others in (
        ("cn-coking-ule-2024", "coke_cdq", "so2", {"pm"}),
        ("cn-cement-ule-2024", "cement_kiln", "nh3", {"pm", "so2", "nox"}),
        ("cn-gb13223-existing", "coal_boiler_high_sulfur", "so2", {"pm", "nox"}),
    ):
        limits = pack(name).outlet(outlet).limits
        assert set(limits) == others
        with pytest.raises(UnsetFigure, match=rf"pack {name}, outlet\.{outlet}\.limits\.{pollutant} is unset"):
            limits[pollutant]


def test_dioxin_and_fluoride_are_shown_and_never_judged() -> None:
    head = pack("cn-gb28662-ordinary").outlet("sinter_head")
    assert {(item.name, item.value, item.unit) for item in head.not_judged} == {
        ("fluoride", 4.0, "mg/m3"),
        ("dioxin", 0.5, "ng-TEQ/m3"),
    }
    assert "dioxin" not in head.limits


def test_an_example_is_shown_and_no_register_can_name_it() -> None:
    assert pack("example-nonferrous").example
    assert set(all_packs()) - set(outlets_by_pack()) == {"example-nonferrous"}


def a_register(process: str, *packs: str) -> str:
    return f"""
[[region]]
code = "r"
name = "R"
[[site]]
code = "s"
name = "S"
region = "r"
timezone = "Asia/Shanghai"
[[site.stack]]
code = "A"
name = "A"
process = "{process}"
packs = [{", ".join(f'"{name}"' for name in packs)}]
interval_s = 60
"""


@pytest.mark.parametrize(
    ("process", "packs"),
    [
        ("sinter_head", ("cn-steel-ule-2019", "cn-gb28662-special")),
        ("bf_stockhouse", ("cn-steel-ule-2019", "cn-gb28663-ordinary")),
        ("eaf", ("cn-steel-ule-2019", "cn-gb28664-special")),
        ("heat_treat_furnace", ("cn-steel-ule-2019", "cn-gb28665-ordinary")),
        ("gas_boiler_other", ("cn-steel-ule-2019", "cn-gb13223-new", "us-boiler-30-day")),
        ("coal_boiler_w_flame_cfb", ("cn-steel-ule-2019", "cn-gb13223-existing", "cn-coal-power-ule-2015")),
        ("coke_chimney_heat_recovery", ("cn-steel-ule-2019", "cn-coking-ule-2024", "cn-gb16171-2012-ordinary")),
        ("cement_cooler", ("cn-cement-ule-2024", "cn-gb4915-special")),
    ],
)
def test_one_stack_may_carry_several_packs(process: str, packs: tuple[str, ...]) -> None:
    register = parse_register(a_register(process, *packs), "r.toml", packs=outlets_by_pack())
    assert register.sites[0].stacks[0].packs == packs
    assert all(pack(name).outlet(process).by_period for name in packs)


def test_a_gas_boiler_must_say_its_gas_before_a_standard_that_asks_for_it() -> None:
    with pytest.raises(BadDocument, match="'gas_boiler' is no outlet of cn-gb13223-new"):
        parse_register(a_register("gas_boiler", "cn-gb13223-new"), "r.toml", packs=outlets_by_pack())


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        pytest.param(lambda: changed('"rounded"', '"up"'), "compare", "one of full, rounded", id="unknown_compare"),
        pytest.param(
            lambda: changed("{ so2 = 50 }", "{ so2 = 50.25 }"),
            "outlet.line.also[1].limits.so2",
            "more decimals than means are rounded to (1)",
            id="limit_finer_than_the_rounding",
        ),
        pytest.param(
            lambda: changed("2027-01-01", "2020-01-01"), "valid_until", "must be after valid_from", id="ends_at_once"
        ),
        pytest.param(
            lambda: changed("valid_minutes = 20", "valid_minutes = 31"),
            "averaging.min_valid_minutes",
            "from 1 to 30",
            id="31_minutes_of_a_half_hour",
        ),
        pytest.param(
            lambda: changed("= 20.8", "= 20.95"),
            "averaging.oxygen_at_ambient_vol_pct",
            "below oxygen_in_air_vol_pct, which is 20.9",
            id="ambient_above_air",
        ),
        pytest.param(
            lambda: changed("ended_after_s = 120", "ended_after_s = 120\nmin_valid_quarters = 4"),
            "averaging.min_valid_quarters",
            "about hours",
            id="quarters_of_a_half_hour",
        ),
        pytest.param(lambda: changed("max_invalid = 5\n", ""), "day", "what makes a day valid", id="empty_day_rule"),
        pytest.param(
            lambda: changed("max_invalid = 5", "min_valid = 49"), "day.min_valid", "must be at most 48", id="49_of_48"
        ),
        pytest.param(lambda: changed('window = "year"', 'window = "day"'), "day.window", "one of month", id="window"),
        pytest.param(
            lambda: changed('"day_limit"', '"limit"'), "confidence.of", "one of day_limit, value", id="of_what"
        ),
        pytest.param(
            lambda: changed("{ so2 = 20 }", "{ so2 = 120 }"),
            "confidence.percent.so2",
            "from 0 to 100",
            id="120_percent",
        ),
        pytest.param(lambda: changed("{ so2 = 20 }", "{}"), "confidence.percent", "is required", id="no_percent"),
        pytest.param(
            lambda: changed('period = "day"\n', 'period = "rolling_30_day"\n'),
            "confidence.of",
            "no outlet has limits of a day",
            id="a_share_of_nothing",
        ),
        pytest.param(
            lambda: changed('column = "B"\nrequired', 'column = "C"\nrequired'),
            "share[1].of",
            "no outlet has limits of half_hour column C",
            id="unknown_column",
        ),
        pytest.param(lambda: changed('key = "b"', 'key = "a"'), "share[1].key", "is there twice", id="key_twice"),
        pytest.param(
            lambda: changed('over = "year"', 'over = "month"'),
            "share[0].either",
            "the same window",
            id="windows_differ",
        ),
        pytest.param(
            lambda: changed("required = 0.97", "required = 97"), "share[1].required", "a share from 0 to 1", id="97"
        ),
        pytest.param(
            lambda: changed('"half_hour"\ncolumn = "B"', '"half_hour"\ncolumn = "A"'),
            "outlet.line.also[1].period",
            "half_hour A has its limits already",
            id="limits_twice",
        ),
        pytest.param(
            lambda: changed('pm = "unset" }', 'pm = "unknown" }'),
            "outlet.line.also[0].limits.pm",
            "must be a number from 1e-06 or \"unset\", got 'unknown'",
            id="no_number",
        ),
        pytest.param(
            lambda: changed('mark = "K-L" }', 'marc = "K-L" }'),
            "outlet.line.also[0].limits.nox.marc",
            "is not known here",
            id="misspelt_mark",
        ),
        pytest.param(
            lambda: changed('mark = "K-L" }', 'mark = "sure" }'),
            "outlet.line.also[0].limits.nox.mark",
            "must begin with V-P",
            id="no_mark",
        ),
        pytest.param(
            lambda: changed("{ so2 = 50 }", "{ o2 = 11 }"),
            "outlet.line.also[1].limits.o2",
            "is no channel of a pollutant",
            id="a_limit_of_oxygen",
        ),
        pytest.param(
            lambda: changed("not_judged.dioxin", "not_judged.co"),
            "outlet.line.not_judged.co",
            "write it under limits",
            id="measured_and_not_judged",
        ),
        pytest.param(
            lambda: (
                A_PACK + '[outlet.other]\nname = "o"\nname_zh = "o"\nalso_as = ["line"]\nlimits = { so2 = 1 }\n'
                'mark = "K-L"\n'
            ),
            "outlet.other.also_as",
            "'line' is already a name of outlet line",
            id="a_name_of_another",
        ),
    ],
)
def test_each_fault_is_named_with_its_key_path(change: Callable[[], str], path: str, message: str) -> None:
    with pytest.raises(BadDocument) as refused:
        parse_pack(change(), "a.toml")
    assert any(fault.path == path and message in fault.message for fault in refused.value.faults), refused.value
    assert str(refused.value).startswith("a.toml: ")


@pytest.mark.parametrize("name", sorted(all_packs()))
def test_whoever_goes_through_the_limits_of_a_pack_meets_no_unset_one(name: str) -> None:
    outlets = pack(name).outlets
    for process in outlets.names:
        limits = outlets[process].limits
        assert all(limits[pollutant].mg_m3 > 0 for pollutant in limits)
        assert all(limit.period is Period.HOUR for limit in limits.values())
        unset = [item for item in outlets[process].skipped() if item.reason == "unset"]
        assert bool(unset) == any(of_period.unset for of_period in outlets[process].by_period.values())


def manual() -> str:
    return Path(__file__).resolve().parents[3].joinpath("docs/packs.md").read_text(encoding="utf-8")


def test_the_manual_lists_each_pack_and_says_what_is_unset() -> None:
    table = manual().partition("## The packs there are")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "`" in line]
    numbers = {name: cells[2] for cells in rows for name in cells[0].replace("`", "").split(", ")}
    assert set(numbers) == set(all_packs())
    said = {"all set": 0, "every one unset": 0}
    for name, word in numbers.items():
        sets = [of_period for outlet in pack(name).outlets.values() for of_period in outlet.by_period.values()]
        all_set = not any(of_period.unset for of_period in sets)
        no_number = not any(sets)
        found = "all set" if all_set else "every one unset" if no_number else None
        if found is not None or name not in ("cn-gb13223-existing", "cn-coking-ule-2024", "cn-cement-ule-2024"):
            # One row for new, existing and special names the one of them that has a gap.
            assert found is not None
            assert word.startswith(found) or name.startswith("cn-gb13223"), name
            said[found] += 1
        else:
            assert "unset" in word, name
    assert said == {"all set": 16, "every one unset": 4}


def test_the_manual_names_each_key_of_a_pack() -> None:
    words = set(re.findall(r"[a-z_0-9]+", manual().partition("## Every key")[2]))
    for kind in (Averaging, DayRule, MonthRule, ShareRule, Confidence):
        assert {field.name for field in fields(kind)} - words == set(), kind


def test_the_examples_of_the_manual_are_packs() -> None:
    page = manual()
    blocks = [block.partition("\n```")[0] for block in page.split("```toml\n")[1:]]
    assert blocks
    for block in blocks:
        assert parse_pack(block, "docs/packs.md").outlets
