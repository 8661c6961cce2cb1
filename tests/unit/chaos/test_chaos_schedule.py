"""The schedule of a chaos run: a function of its seed, in which every kind comes and no fault is in another's way."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from chaos.material import material
from chaos.schedule import FAULTS, PROFILES, Fault, Kind, held_by, schedule

SEEDS = range(200)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_gives_the_same_faults_and_another_seed_others(profile: str) -> None:
    found = [schedule(seed, PROFILES[profile]) for seed in SEEDS]
    assert found == [schedule(seed, PROFILES[profile]) for seed in SEEDS]
    assert len(set(found)) == len(SEEDS)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_kind_of_the_profile_comes_in_every_run(profile: str) -> None:
    for seed in SEEDS:
        faults = schedule(seed, PROFILES[profile])
        assert {fault.kind for fault in faults} == set(PROFILES[profile])
        assert len(faults) == FAULTS


def test_every_kind_of_fault_belongs_to_a_profile() -> None:
    assert set(PROFILES["everything"]) == set(Kind)
    assert set().union(*(set(weights) for name, weights in PROFILES.items() if name != "everything")) == set(Kind)


def test_no_two_faults_hold_the_same_thing_at_once() -> None:
    for seed in SEEDS:
        held: defaultdict[str, list[Fault]] = defaultdict(list)
        for fault in schedule(seed, PROFILES["everything"]):
            for name in held_by(fault):
                held[name].append(fault)
        for faults in held.values():
            for one, next_one in itertools.pairwise(faults):
                assert one.at_s + one.for_s < next_one.at_s


def test_leaving_a_kind_out_leaves_the_rest_as_it_is() -> None:
    whole = schedule(7, PROFILES["everything"])
    without = schedule(7, PROFILES["everything"], without=[Kind.FILL_DISK])
    assert without == tuple(fault for fault in whole if fault.kind is not Kind.FILL_DISK)


def test_what_is_measured_is_a_function_of_the_seed() -> None:
    assert material(5) == material(5)
    assert material(5).expected() != material(6).expected()
