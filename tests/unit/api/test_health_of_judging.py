"""What `/v1/health` says of work that a fault of ours keeps from being done."""

from __future__ import annotations

from api.routes.health import ONLY_SAID, said_of_judging
from store.health import Beat, all_well


def a_beat(component: str = "stage", *, age_s: float = 1.0, ok: bool = True, **detail: object) -> Beat:
    return Beat(component=component, instance="one", age_s=age_s, ok=ok, detail=dict(detail))


def test_nothing_set_aside_is_well() -> None:
    assert said_of_judging(0, [a_beat(failed_chores={})]) == {"ok": True, "detail": "no stack is set aside"}


def test_stacks_set_aside_and_chores_that_failed_are_counted_and_named() -> None:
    said = said_of_judging(2, [a_beat(failed_chores={"books": "KeyError: 1"}), a_beat("ingestor")])
    assert not said["ok"]
    assert said["detail"] == ("2 stacks are set aside, because judging them failed; the leader's work on books failed")


def test_it_makes_the_system_degraded_and_keeps_it_serving() -> None:
    assert "judging" in ONLY_SAID


def test_all_is_well_only_while_every_part_has_one_that_beats() -> None:
    parts = ("stage", "ingestor")
    assert all_well([a_beat(), a_beat("ingestor")], parts)
    assert not all_well([a_beat()], parts)
    assert not all_well([a_beat(), a_beat("ingestor", ok=False)], parts)
    assert not all_well([a_beat(age_s=16.0), a_beat("ingestor")], parts)
    assert all_well([a_beat(age_s=16.0), a_beat(), a_beat("ingestor")], parts), "one of two is enough"
