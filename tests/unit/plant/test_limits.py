"""Which limit governs a stack that one process has to itself, and one that several share."""

from __future__ import annotations

from dataclasses import replace

from hour_builders import ULE, a_stack
from plant.limits import governing
from plant.packs import pack

RULES = pack(ULE)


def test_a_stack_of_one_process_has_the_limits_of_its_outlet() -> None:
    found = governing(RULES, a_stack("coke_chimney"))
    assert {name: rule.limit.mg_m3 for name, rule in found.items()} == {"pm": 10.0, "so2": 30.0, "nox": 150.0}


def test_a_shared_stack_has_the_strictest_limit_at_the_base_oxygen_of_its_outlet() -> None:
    shared = replace(a_stack("coke_chimney"), also_processes=("sinter_head",))
    found = governing(RULES, shared)
    assert {name: rule.limit.mg_m3 for name, rule in found.items()} == {"pm": 10.0, "so2": 30.0, "nox": 50.0}
    assert found["so2"].outlet.base_o2_vol_pct == 8.0
    assert found["nox"].outlet.base_o2_vol_pct == 16.0


def test_a_permit_for_the_mix_goes_before_the_strictest_limit() -> None:
    shared = replace(a_stack("coke_chimney"), also_processes=("sinter_head",), permit_mix_mg_m3={"nox": 90.0})
    found = governing(RULES, shared)["nox"]
    assert (found.limit.mg_m3, found.limit.mark, found.outlet.key) == (90.0, "permit", "coke_chimney")


def test_a_process_that_the_pack_does_not_know_adds_no_limit() -> None:
    shared = replace(a_stack("bof_secondary"), also_processes=("eaf", "gas_turbine_of_another_pack"))
    assert set(governing(RULES, shared)) == {"pm"}
