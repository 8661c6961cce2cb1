"""The register as a person writes it: the contract's own example, and every fault with its key path."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest

from plant.errors import BadDocument, Fault
from plant.packs import outlets_by_pack
from plant.reading import Reader
from plant.register import Channel, Deadline, Instrument, Register, parse_register, region_from, site_from

#: Section 2 of the contract, word for word but for the packs, which this test does not look at.
EXAMPLE: Final = """
[[region]]
code = "hebei"
name = "Hebei"
name_zh = "河北"
  [[region.deadline]]                   # by process where they differ
  process = "*"
  date = 2025-12-31
  [[region.instrument]]                 # what an order may rest on
  kind = "local_regulation"             # law regulation local_regulation rule plan draft
  number = "..."
  issuer = "..."
  article = "..."
  covers = ["suspend", "restrict"]
  from = 2026-01-01

[[site]]
code = "tangshan-1"
name = "Tangshan No. 1 Steelworks"
region = "hebei"
timezone = "Asia/Shanghai"
lon = 118.18
lat = 39.63
rating = "B"                            # heavy-pollution performance grade
simulated = false                       # a simulated site runs on its own clock and is never public
assessment = { organized = 2024-11-05 } # accepted ULE assessments, by scope
  [[site.unit]]                         # what is started and stopped
  code = "S1"
  kind = "sinter_strand"
  modes = ["stop", "max_load"]          # what an order may ask of it; a coke battery: hot_idle, min_coking_time
  [[site.stack]]
  code = "DA001"
  name = "Sinter machine 1 head"
  process = "sinter_head"               # outlet key of the packs
  units = ["S1"]
  packs = ["cn-steel-ule-2019", "cn-gb28662-special"]
  interval_s = 10                       # what one row stands for
  judged_from = ["main", "backup"]      # instruments by rank; an hour never mixes two
  area_m2 = 20.0                        # for flow from velocity
  permit_t_per_year = { so2 = 120.0 }
  mn = "010000A8900016F000169DC0"       # HJ 212 device number
    [site.stack.channels.so2]
    unit = "ppm"                        # default mg/m3
    basis = "wet"                       # default dry
    gas_state = "standard"              # or actual
    reference = "measured"              # or corrected: already at reference oxygen
    range = [0, 200]
"""

#: Nothing but what the contract requires.
LEAST: Final = """
[[region]]
code = "hebei"
name = "Hebei"
[[site]]
code = "works"
name = "A works"
region = "hebei"
timezone = "Asia/Shanghai"
  [[site.stack]]
  code = "DA001"
  name = "Sinter head"
  process = "sinter_head"
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
"""


def parse(text: str, **rest: Any) -> Register:
    return parse_register(text, "works.toml", packs=outlets_by_pack(), **rest)


def test_the_contracts_own_example_is_read() -> None:
    register = parse(EXAMPLE)
    (region,), (site,) = register.regions, register.sites
    (unit,), (stack,) = site.units, site.stacks
    assert (region.code, region.name_zh) == ("hebei", "河北")
    assert region.deadlines == (Deadline(process="*", date=date(2025, 12, 31)),)
    assert region.instruments == (
        Instrument(
            kind="local_regulation",
            number="...",
            issuer="...",
            article="...",
            covers=("suspend", "restrict"),
            since=date(2026, 1, 1),
        ),
    )
    assert (site.lon, site.lat, site.rating, site.simulated) == (118.18, 39.63, "B", False)
    assert site.assessment == {"organized": date(2024, 11, 5)}
    assert (unit.code, unit.kind, unit.modes) == ("S1", "sinter_strand", ("stop", "max_load"))
    assert stack.packs == ("cn-steel-ule-2019", "cn-gb28662-special")
    assert (stack.interval_s, stack.judged_from, stack.area_m2) == (10, ("main", "backup"), 20.0)
    assert (stack.permit_t_per_year, stack.mn) == ({"so2": 120.0}, "010000A8900016F000169DC0")
    assert stack.channels == {"so2": Channel(unit="ppm", wet=True, range=(0.0, 200.0))}


def test_what_is_not_required_may_be_left_out() -> None:
    register = parse(LEAST)
    (region,), (site,) = register.regions, register.sites
    (stack,) = site.stacks
    assert (region.deadlines, region.instruments, region.name_zh) == ((), (), "Hebei")
    assert (site.simulated, site.assessment, site.units, site.lon) == (False, {}, (), None)
    assert (stack.judged_from, stack.channels, stack.units, stack.mn) == (("main",), {}, (), None)
    assert stack.channel("so2") == Channel()
    assert (stack.channel("so2").wet, stack.channel("so2").corrected) == (False, False)


@pytest.mark.parametrize(
    "line",
    [
        'code = "hebei"',
        'name = "Hebei"',
        'code = "works"',
        'name = "A works"',
        'region = "hebei"',
        'timezone = "Asia/Shanghai"',
        'code = "DA001"',
        'name = "Sinter head"',
        'process = "sinter_head"',
        'packs = ["cn-steel-ule-2019"]',
        "interval_s = 60",
    ],
)
def test_each_required_key_is_required(line: str) -> None:
    with pytest.raises(BadDocument, match="is required"):
        parse(LEAST.replace(line, "", 1))


def test_the_short_form_is_one_deadline_and_one_instrument_that_covers_suspension() -> None:
    text = LEAST.replace(
        'name = "Hebei"',
        'name = "Hebei"\nule_deadline = 2025-12-31\nsuspend_on_deadline = true\nlegal_basis = "a text"',
    )
    (region,) = parse(text).regions
    assert region.deadlines == (Deadline(process="*", date=date(2025, 12, 31)),)
    found = region.instrument_for("suspend", date(2026, 1, 1))
    assert found is not None
    assert (found.kind, found.number, found.covers) == ("local_regulation", "a text", ("suspend",))
    assert region.instrument_for("restrict", date(2026, 1, 1)) is None


def test_a_short_form_without_a_legal_basis_covers_nothing_and_is_refused() -> None:
    text = LEAST.replace('name = "Hebei"', 'name = "Hebei"\nule_deadline = 2025-12-31\nsuspend_on_deadline = true')
    with pytest.raises(BadDocument, match=r"region\[0\].suspend_on_deadline: needs legal_basis"):
        parse(text)


def test_a_deadline_alone_lets_nobody_suspend() -> None:
    (region,) = parse(LEAST.replace('name = "Hebei"', 'name = "Hebei"\nule_deadline = 2025-12-31')).regions
    assert region.deadline_for("sinter_head") == date(2025, 12, 31)
    assert region.instrument_for("suspend", date(2026, 6, 1)) is None


def test_a_process_has_its_own_deadline_before_that_of_every_process() -> None:
    text = LEAST.replace(
        'name = "Hebei"',
        'name = "Hebei"\ndeadline = [{ date = 2025-12-31 }, { process = "coke_chimney", date = 2028-12-31 }]',
    )
    (region,) = parse(text).regions
    assert region.deadline_for("coke_chimney") == date(2028, 12, 31)
    assert region.deadline_for("sinter_head") == date(2025, 12, 31)


@pytest.mark.parametrize(
    ("kind", "binds"),
    [
        ("law", True),
        ("regulation", True),
        ("local_regulation", True),
        ("rule", True),
        ("plan", False),
        ("draft", False),
    ],
)
def test_plans_and_drafts_cover_no_act(kind: str, binds: bool) -> None:
    (region,) = parse(EXAMPLE.replace('"local_regulation"', f'"{kind}"', 1)).regions
    assert (region.instrument_for("suspend", date(2026, 6, 1)) is not None) == binds


def test_an_instrument_covers_an_act_from_its_first_day_until_before_its_last() -> None:
    text = EXAMPLE.replace("from = 2026-01-01", "from = 2026-01-01\n  until = 2027-01-01")
    (region,) = parse(text).regions
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 1)]
    assert [region.instrument_for("suspend", day) is not None for day in days] == [False, True, True, False]
    assert region.instrument_for("curtail", date(2026, 6, 1)) is None
    assert region.instruments[0].citation() == "..., ..., art. ..."


def test_an_assessment_counts_from_the_day_it_was_accepted() -> None:
    (site,) = parse(EXAMPLE).sites
    assert not site.assessed_before(date(2024, 11, 4))
    assert site.assessed_before(date(2024, 11, 5))
    assert not parse(LEAST).sites[0].assessed_before(date(2026, 1, 1))


def instead(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        pytest.param(instead('code = "hebei"', 'code = "he bei"'), "region[0].code", "a name of", id="region_code"),
        pytest.param(instead('process = "*"', "process = 3"), "region[0].deadline[0].process", "a text", id="deadline"),
        pytest.param(instead("2025-12-31", '"soon"'), "region[0].deadline[0].date", "a date such as", id="no_date"),
        pytest.param(
            instead("2025-12-31", "2025-12-31T00:00:00Z"), "region[0].deadline[0].date", "a date such as", id="instant"
        ),
        pytest.param(
            instead('"local_regulation"', '"wish"'), "region[0].instrument[0].kind", "one of law", id="instrument_kind"
        ),
        pytest.param(
            instead('"restrict"]', '"punish"]'), "region[0].instrument[0].covers", "none of suspend", id="unknown_act"
        ),
        pytest.param(instead('name = "Hebei"', 'name = ""'), "region[0].name", "not empty", id="empty_name"),
        pytest.param(
            instead('name_zh = "河北"', 'name_cn = "河北"'), "region[0].name_cn", "is not known here", id="misspelt"
        ),
        pytest.param(
            instead('region = "hebei"', 'region = "x"'), "site[0].region", "no registered region", id="region"
        ),
        pytest.param(instead("Asia/Shanghai", "Asia/Tangshan"), "site[0].timezone", "is no time zone", id="timezone"),
        pytest.param(instead("Asia/Shanghai", "../etc/passwd"), "site[0].timezone", "is no time zone", id="a_path"),
        pytest.param(instead("lon = 118.18", "lon = 218.18"), "site[0].lon", "from -180 to 180", id="longitude"),
        pytest.param(instead("lat = 39.63", "lat = '39'"), "site[0].lat", "a number", id="latitude_as_text"),
        pytest.param(instead("lat = 39.63", "lat = nan"), "site[0].lat", "a number", id="latitude_nan"),
        pytest.param(
            instead("simulated = false", "simulated = 0"), "site[0].simulated", "true or false", id="simulated"
        ),
        pytest.param(
            instead("{ organized =", "{ organised ="), "site[0].assessment.organised", "is not known", id="assessment"
        ),
        pytest.param(
            instead("{ organized = 2024-11-05 }", "true"), "site[0].assessment", "must be a table", id="no_table"
        ),
        pytest.param(instead('code = "S1"', 'code = "S/1"'), "site[0].unit[0].code", "a name of", id="unit_code"),
        pytest.param(instead('"max_load"]', '"stop"]'), "site[0].unit[0].modes", "without repeats", id="repeated_mode"),
        pytest.param(instead('units = ["S1"]', 'units = ["S2"]'), "site[0].stack[0].units", "no unit", id="unit"),
        pytest.param(
            instead('"cn-gb28662-special"', '"eu"'), "site[0].stack[0].packs", "is no rule pack", id="unknown_pack"
        ),
        pytest.param(
            instead('"sinter_head"', '"sinter"'), "site[0].stack[0].process", "is no outlet of cn-steel", id="process"
        ),
        pytest.param(
            instead("interval_s = 10 ", "interval_s = 0 "), "site[0].stack[0].interval_s", "from 1 to 3600", id="0_s"
        ),
        pytest.param(
            instead("interval_s = 10 ", "interval_s = 3601 "), "site[0].stack[0].interval_s", "1 to 3600", id="3601_s"
        ),
        pytest.param(
            instead("interval_s = 10 ", "interval_s = 10.0 "), "site[0].stack[0].interval_s", "whole", id="10.0_s"
        ),
        pytest.param(instead("area_m2 = 20.0", "area_m2 = 0"), "site[0].stack[0].area_m2", "a number from", id="area"),
        pytest.param(
            instead("{ so2 = 120.0 }", "{ so2 = -1 }"), "site[0].stack[0].permit_t_per_year.so2", "from 0", id="permit"
        ),
        pytest.param(
            instead("channels.so2", "channels.so3"), "site[0].stack[0].channels.so3", "is no channel", id="channel"
        ),
        pytest.param(
            instead('"ppm"', '"ppb"'), "site[0].stack[0].channels.so2.unit", "one of mg/m3, ppm", id="channel_unit"
        ),
        pytest.param(instead('"wet"', '"damp"'), "site[0].stack[0].channels.so2.basis", "one of dry, wet", id="basis"),
        pytest.param(
            instead('"standard"', '"gas"'), "site[0].stack[0].channels.so2.gas_state", "standard, actual", id="state"
        ),
        pytest.param(
            instead('"measured"', '"both"'), "site[0].stack[0].channels.so2.reference", "measured, corr", id="reference"
        ),
        pytest.param(
            instead("[0, 200]", "[200, 0]"), "site[0].stack[0].channels.so2.range", "two rising numbers", id="falling"
        ),
        pytest.param(
            instead("[0, 200]", "[0]"), "site[0].stack[0].channels.so2.range", "two rising numbers", id="one_bound"
        ),
        pytest.param(
            instead("[0, 200]", "200"), "site[0].stack[0].channels.so2.range", "two rising numbers", id="no_list"
        ),
        pytest.param(lambda text: text + "\n=", "", "is no TOML", id="no_toml"),
        pytest.param(lambda text: "colour = 1\n" + text, "colour", "is not known here", id="unknown_table"),
        pytest.param(lambda text: "site = 1\n", "site", "a list of tables", id="site_is_no_list"),
    ],
)
def test_each_fault_of_a_register_is_named_with_its_key_path(
    change: Callable[[str], str], path: str, message: str
) -> None:
    changed = change(EXAMPLE)
    assert changed != EXAMPLE
    with pytest.raises(BadDocument) as refused:
        parse(changed)
    assert any(fault.path == path and message in fault.message for fault in refused.value.faults), refused.value


@pytest.mark.parametrize(
    ("copied", "path"),
    [
        pytest.param('[[region]]\ncode = "hebei"\nname = "again"\n', "region", id="region"),
        pytest.param('[[site.unit]]\ncode = "S1"\n', "site[0].unit", id="unit"),
        pytest.param(
            '[[site.stack]]\ncode = "DA001"\nname = "n"\nprocess = "sinter_head"\npacks = ["cn-steel-ule-2019"]\n'
            "interval_s = 60\n",
            "site[0].stack",
            id="stack",
        ),
    ],
)
def test_nothing_may_be_registered_twice(copied: str, path: str) -> None:
    with pytest.raises(BadDocument) as refused:
        parse(EXAMPLE + copied)
    assert any(f.path == path and "is registered twice" in f.message for f in refused.value.faults), refused.value


def test_all_faults_of_a_register_are_named_at_once() -> None:
    broken = LEAST.replace('"works"', '"the works"').replace("interval_s = 60", "interval_s = 0").replace("hebei", "h ")
    with pytest.raises(BadDocument) as refused:
        parse(broken)
    assert {fault.path for fault in refused.value.faults} >= {
        "region[0].code",
        "site[0].code",
        "site[0].region",
        "site[0].stack[0].interval_s",
    }


def test_a_region_registered_before_may_be_named() -> None:
    only_site = LEAST[LEAST.index("[[site]]") :]
    assert parse(only_site, regions={"hebei"}).sites[0].region == "hebei"
    with pytest.raises(BadDocument, match="'hebei' is no registered region"):
        parse(only_site)


def test_a_register_kept_as_json_is_read_again() -> None:
    tables = tomllib.loads(EXAMPLE, parse_float=Decimal)

    def plain(value: Any) -> Any:
        return float(value) if isinstance(value, Decimal) else value.isoformat()

    kept = json.loads(json.dumps(tables, default=plain))
    faults: list[Fault] = []
    register = parse(EXAMPLE)
    assert region_from(Reader(kept["region"][0], "region", faults)) == register.regions[0]
    assert site_from(Reader(kept["site"][0], "site", faults), outlets_by_pack()) == register.sites[0]
    assert faults == []
