from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.enforcement.conditions import CleanRun, Hour, Watched, clean_runs, instrument, may_lift, standing
from plant.errors import Refused
from plant.register import Instrument, Region

TRIAL = datetime(2026, 11, 1, tzinfo=UTC)
SO2 = Watched(stack="DA001", pollutant="so2", pack="cn", pack_version="1", limit=35.0, decimals=6)
ON = date(2026, 11, 21)

LOCAL = Instrument(
    kind="local_regulation", number="No. 1", issuer="Hebei", article="5", covers=("suspend",), since=date(2026, 1, 1)
)


def hour(n: int, verdict: str, corrected: float | None = 20.0) -> Hour:
    return Hour(
        stack="DA001",
        pollutant="so2",
        pack="cn",
        pack_version="1",
        start=TRIAL + timedelta(hours=n),
        verdict=verdict,
        reason="",
        corrected=corrected,
        limit=35.0,
        revision=0,
    )


def hours(letters: str) -> list[Hour]:
    """c clear, B breached, x excluded, u undecided."""
    verdicts = {"c": "clear", "B": "breached", "x": "excluded", "u": "undecided"}
    values = {"c": 20.0, "B": 90.0}
    return [hour(n, verdicts[letter], values.get(letter)) for n, letter in enumerate(letters)]


def run_of(found: Sequence[Hour], required: int = 24) -> CleanRun:
    (run,) = clean_runs([SO2], found, required)
    return run


@pytest.mark.parametrize(
    ("letters", "clean"),
    [
        pytest.param("", 0, id="no_hour_is_no_clean_hour"),
        pytest.param("ccc", 3, id="clear_hours_count"),
        pytest.param("ccxxc", 3, id="excluded_hours_neither_break_nor_count"),
        pytest.param("ccuuc", 3, id="undecided_hours_neither_break_nor_count"),
        pytest.param("cccBcc", 2, id="a_breached_hour_starts_the_count_again"),
        pytest.param("cccB", 0, id="a_breach_at_the_end_leaves_nothing"),
        pytest.param("BxuBxcuc", 2, id="all_together"),
    ],
)
def test_a_run_counts_clear_hours_since_the_last_breach(letters: str, clean: int) -> None:
    assert len(run_of(hours(letters)).clean) == clean


@given(st.text("cBxu", max_size=60), st.randoms(use_true_random=False))
def test_the_run_does_not_depend_on_the_order_in_which_hours_are_read(letters: str, rng: object) -> None:
    found = hours(letters)
    shuffled = list(found)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert run_of(shuffled) == run_of(found)
    assert len(run_of(found).clean) == letters.rpartition("B")[2].count("c")


def test_a_lift_is_refused_with_the_figures_of_each_series() -> None:
    pm = replace(SO2, pollutant="pm", limit=10.0)
    runs = clean_runs([SO2, pm], hours("ccccccc"), 24)
    with pytest.raises(Refused) as refused:
        may_lift(runs)
    assert str(refused.value) == ("not yet clean: SO2 at DA001: 7 of 24 clean hours; PM at DA001: 0 of 24 clean hours")


def test_the_figures_name_the_breach_that_started_the_count_again() -> None:
    with pytest.raises(Refused, match=r"2 of 3 clean hours since the breach of 2026-11-01T01:00:00Z"):
        may_lift([run_of(hours("cBcc"), required=3)])


def test_the_last_needed_hour_makes_the_difference() -> None:
    with pytest.raises(Refused, match="23 of 24"):
        may_lift([run_of(hours("c" * 23))])
    may_lift([run_of(hours("c" * 24))])


def test_one_clean_series_does_not_lift_for_another() -> None:
    pm = replace(SO2, pollutant="pm", limit=10.0)
    with pytest.raises(Refused, match="PM at DA001: 0 of 24"):
        may_lift(clean_runs([SO2, pm], hours("c" * 30), 24))


def test_nothing_to_watch_lifts_nothing() -> None:
    with pytest.raises(Refused, match="no stack of these units is left"):
        may_lift([])


def test_an_hour_of_a_newer_pack_is_judged_by_the_limit_the_case_began_with() -> None:
    softened = [replace(h, pack_version="2", corrected=40.0) for h in hours("ccc")]
    hardened = [replace(h, pack_version="2", corrected=30.0, verdict="breached") for h in hours("BBB")]
    assert len(run_of(softened).clean) == 0
    assert len(run_of(hardened).clean) == 3


def test_float_noise_above_the_pinned_limit_decides_nothing() -> None:
    at_the_limit = replace(hour(0, "clear", 35.0000000004), pack_version="2")
    above = replace(hour(1, "clear", 35.000001), pack_version="2")
    assert len(run_of([at_the_limit]).clean) == 1
    assert len(run_of([above]).clean) == 0


def test_the_numbers_hold_the_last_hours_that_were_needed() -> None:
    numbers = run_of(hours("cBccxcc"), required=3).numbers()
    assert [item["start"] for item in numbers["hours"]] == [
        "2026-11-01T03:00:00Z",
        "2026-11-01T05:00:00Z",
        "2026-11-01T06:00:00Z",
    ]
    assert (numbers["clean"], numbers["breached"], numbers["excluded"], numbers["undecided"]) == (4, 1, 1, 0)
    assert numbers["last_breach"] == "2026-11-01T01:00:00Z"


def test_a_decision_rests_on_the_first_text_that_covers_it() -> None:
    plan = replace(LOCAL, kind="plan", number="Plan 7")
    region = Region(code="hebei", name="Hebei", instruments=(plan, LOCAL))
    assert instrument(region, "suspend", ON) is LOCAL


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(replace(LOCAL, kind="plan"), "a plan cannot create a penalty", id="a_plan"),
        pytest.param(replace(LOCAL, kind="draft"), "a draft cannot create a penalty", id="a_draft"),
        pytest.param(replace(LOCAL, covers=("restrict",)), "covers restrict", id="another_act"),
        pytest.param(replace(LOCAL, covers=()), "covers nothing", id="no_act"),
        pytest.param(replace(LOCAL, since=date(2026, 11, 22)), "in force from 2026-11-22", id="tomorrow"),
        pytest.param(replace(LOCAL, until=date(2026, 11, 21)), "in force until 2026-11-21", id="ended_today"),
    ],
)
def test_a_text_that_does_not_cover_the_act_today_is_named_with_the_reason(text: Instrument, why: str) -> None:
    with pytest.raises(Refused) as refused:
        instrument(Region(code="hebei", name="Hebei", instruments=(text,)), "suspend", ON)
    assert "region hebei has no registered legal instrument" in str(refused.value)
    assert f"Hebei, No. 1, art. 5 ({why})" in str(refused.value)


def test_a_region_without_any_text_is_told_so() -> None:
    with pytest.raises(Refused, match=r"covers 'suspend' on 2026-11-21\. Registered: none"):
        instrument(Region(code="hebei", name="Hebei"), "suspend", ON)


def test_a_case_whose_alerts_were_all_withdrawn_goes_no_further() -> None:
    standing([])
    standing([{"id": "a", "state": "withdrawn"}, {"id": "b", "state": "firing"}])
    with pytest.raises(Refused, match=r"every alert of this case was withdrawn \(a, b\)"):
        standing([{"id": "a", "state": "withdrawn"}, {"id": "b", "state": "withdrawn"}])
