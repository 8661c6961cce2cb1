from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from alerts.enforcement.pins import (
    case_id,
    month_of,
    pinned,
    stacks_of,
    track_for,
    units_for,
    watched,
    watched_from,
)
from alerts.enforcement.workflow import Track
from plant.packs import all_packs
from plant.register import Deadline, Instrument, Region, Site, Stack, Unit

ULE = "cn-steel-ule-2019"
HEAD = Stack(code="DA001", name="Head", process="sinter_head", packs=(ULE,), interval_s=60, units=("S1",))
TAIL = replace(HEAD, code="DA002", name="Tail")
COKE = replace(HEAD, code="DA003", name="Coke", process="coke_chimney", units=("K1",))
SITE = Site(
    code="works",
    name="Works",
    region="hebei",
    timezone="Asia/Shanghai",
    units=(Unit(code="S1"), Unit(code="K1")),
    stacks=(HEAD, TAIL, COKE),
)
REGION = Region(code="hebei", name="Hebei", deadlines=(Deadline(process="*", date=date(2025, 12, 31)),))


@pytest.mark.parametrize(
    ("month", "track"),
    [
        pytest.param(date(2025, 12, 1), None, id="the_month_of_the_deadline_is_too_early"),
        pytest.param(date(2026, 1, 1), Track.DEADLINE, id="the_month_after_counts"),
        pytest.param(date(2025, 11, 1), None, id="an_earlier_one_is_too_early"),
    ],
)
def test_a_month_counts_when_it_began_after_the_deadline(month: date, track: Track | None) -> None:
    assert track_for(REGION, SITE, HEAD, month) is track


def test_a_deadline_on_the_first_of_a_month_spares_that_month() -> None:
    region = replace(REGION, deadlines=(Deadline(process="*", date=date(2026, 3, 1)),))
    assert track_for(region, SITE, HEAD, date(2026, 3, 1)) is None
    assert track_for(region, SITE, HEAD, date(2026, 4, 1)) is Track.DEADLINE


def test_a_region_without_a_deadline_opens_nothing() -> None:
    assert track_for(replace(REGION, deadlines=()), SITE, HEAD, date(2026, 6, 1)) is None


def test_the_deadline_of_the_process_goes_before_that_of_all() -> None:
    own = Deadline(process="coke_chimney", date=date(2026, 12, 31))
    region = replace(REGION, deadlines=(*REGION.deadlines, own))
    assert track_for(region, SITE, COKE, date(2026, 6, 1)) is None
    assert track_for(region, SITE, HEAD, date(2026, 6, 1)) is Track.DEADLINE


def test_an_assessed_site_is_asked_about_its_assessment_not_its_deadline() -> None:
    accepted = replace(SITE, assessment={"organized": date(2026, 6, 1)})
    assert track_for(REGION, accepted, HEAD, date(2026, 6, 1)) is Track.ULE
    assert track_for(REGION, accepted, HEAD, date(2026, 5, 1)) is Track.DEADLINE
    other_scope = replace(SITE, assessment={"transport": date(2026, 1, 1)})
    assert track_for(REGION, other_scope, HEAD, date(2026, 6, 1)) is Track.DEADLINE


def test_the_month_is_the_sites_own() -> None:
    at = datetime(2026, 10, 31, 16, 0, tzinfo=UTC)  # midnight in Shanghai
    assert month_of(at, ZoneInfo("Asia/Shanghai")) == date(2026, 11, 1)


def test_a_case_concerns_the_units_behind_the_stack_else_all_else_the_stack_itself() -> None:
    loose = replace(HEAD, units=())
    assert units_for(SITE, replace(HEAD, units=("S2", "S1"))) == ("S1", "S2")
    assert units_for(SITE, loose) == ("K1", "S1")
    assert units_for(replace(SITE, units=()), loose) == ("DA001",)
    assert units_for(replace(SITE, units=()), None) == ("DA001", "DA002", "DA003")
    assert units_for(SITE, None) == ("K1", "S1")


def test_the_stacks_of_a_unit_are_all_that_it_breathes_through() -> None:
    assert [stack.code for stack in stacks_of(SITE, ["S1"])] == ["DA001", "DA002"]
    assert [stack.code for stack in stacks_of(SITE, ["K1"])] == ["DA003"]


def test_the_id_is_a_function_of_site_units_track_and_what_opened_it() -> None:
    text = "works|K1,S1|deadline|alert-1"
    assert case_id("works", ["K1", "S1"], "deadline", "alert-1") == (
        "case-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    )
    ids = {
        case_id("works", ["S1"], "deadline", "alert-1"),
        case_id("works", ["S1"], "ule", "alert-1"),
        case_id("works", ["K1"], "deadline", "alert-1"),
        case_id("other", ["S1"], "deadline", "alert-1"),
        case_id("works", ["S1"], "deadline", "alert-2"),
    }
    assert len(ids) == 5


def test_a_trial_watches_every_pollutant_of_every_stack_under_the_pinned_limits() -> None:
    series = {(item.stack, item.pollutant): item.limit for item in watched([HEAD, COKE], all_packs(), ULE)}
    assert series == {  # regulation 1.1
        ("DA001", "pm"): 10,
        ("DA001", "so2"): 35,
        ("DA001", "nox"): 50,
        ("DA003", "pm"): 10,
        ("DA003", "so2"): 30,
        ("DA003", "nox"): 150,
    }


def test_a_case_without_a_pack_watches_all_packs_of_its_stacks() -> None:
    both = replace(HEAD, packs=(ULE, "cn-gb28662-special"))
    assert {item.pack for item in watched([both], all_packs(), ULE)} == {ULE}
    assert {item.pack for item in watched([both], all_packs(), None)} == {ULE, "cn-gb28662-special"}


def test_a_case_pins_versions_limits_and_policy() -> None:
    law = Instrument(kind="law", number="1", issuer="NPC", article="2", covers=("suspend",), since=date(2026, 1, 1))
    region = replace(REGION, lift_after_clean_hours=48, instruments=(law,))
    pins = pinned(
        region=region,
        site=SITE,
        versions={
            "region hebei": 3,
            "site works": 2,
            "unit works/S1": 1,
            "stack works/DA001": 5,
            "stack works/DA002": 6,
            "stack works/DA003": 7,
        },
        packs=all_packs(),
        units=("S1",),
        pack=ULE,
        deadline=date(2025, 12, 31),
        on=date(2026, 11, 21),
    )
    assert pins["packs"] == {ULE: all_packs()[ULE].version}
    assert pins["register"] == {
        "region": 3,
        "site": 2,
        "units": {"S1": 1},
        "stacks": {"DA001": 5, "DA002": 6},
    }
    assert pins["policy"] == {
        "deadline": "2025-12-31",
        "lift_after_clean_hours": 48,
        "instrument": "NPC, 1, art. 2",
    }
    assert watched_from(pins) == watched([HEAD, TAIL], all_packs(), ULE)
