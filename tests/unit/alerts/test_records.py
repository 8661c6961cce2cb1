"""Judged hours as rows: what is new, what is the same, what supersedes another."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.hours import judge_rows
from alerts.records import Records, Standing, records_of
from alerts.subject import Subject
from hour_builders import FIRST, LONG_AFTER, ULE, Sample, a_stack, as_rows, samples
from plant.periods import HOUR, MINUTE
from plant.register import Site

SPECIAL = "cn-gb28662-special"
NOTHING = Standing(means={}, verdicts={})


def recorded(
    rows: Sequence[Sample], standing: Standing = NOTHING, *, now: int = LONG_AFTER, n_hours: int = 1
) -> Records:
    stack = a_stack()
    site = Site(code="works", name="A works", region="hebei", timezone="Asia/Shanghai", stacks=(stack,))
    subject = Subject(site_id=1, stack_id=1, site=site, stack=stack, packs=Subject.packs_of((ULE, SPECIAL)))
    of = {"main": as_rows(rows)} if rows else {}
    judged = judge_rows(subject, of, first=FIRST, n_hours=n_hours, now=now)
    return records_of(judged, [FIRST + i * HOUR for i in range(n_hours)], standing)


def standing(records: Records) -> Standing:
    return Standing(
        means={mean.key: (mean, step.revision) for mean, step in records.means.values()},
        verdicts={verdict.key: (verdict, step.revision) for verdict, step in records.verdicts.values()},
    )


def revisions(records: Records) -> set[tuple[int, bool, bool]]:
    return {(step.revision, step.in_place, step.changed) for _, step in records.verdicts.values()}


ROWS = samples(60, so2=20.0, nox=30.0, pm=5.0, o2=16.0)
OTHERS = samples(60, so2=21.0, nox=31.0, pm=5.5, o2=16.0)


def test_an_hour_has_a_verdict_under_each_pack_and_means_that_know_none() -> None:
    records = recorded(ROWS)
    assert len(records.verdicts) == 6
    assert len(records.means) == len({(v.pollutant, v.averaging) for v, _ in records.verdicts.values()})
    assert revisions(records) == {(1, False, True)}


def test_the_same_rows_again_change_nothing() -> None:
    assert revisions(recorded(ROWS, standing(recorded(ROWS)))) == {(1, True, False)}
    assert recorded(ROWS, standing(recorded(ROWS))).changed() == []


def test_a_running_hour_is_replaced_in_place_and_an_ended_one_is_superseded() -> None:
    running = recorded(ROWS[:30], now=FIRST + 30 * MINUTE)
    ended = recorded(ROWS, standing(running))
    late = recorded(OTHERS, standing(ended))
    assert revisions(ended) == {(1, True, True)}
    assert revisions(late) == {(2, False, True)}
    assert {verdict.mean_revision for verdict, _ in late.verdicts.values()} == {2}


def test_an_hour_without_rows_is_not_recorded_unless_it_stood() -> None:
    assert recorded(ROWS, n_hours=2).verdicts.keys() == recorded(ROWS).verdicts.keys()
    emptied = recorded([], standing(recorded(ROWS)))
    assert {verdict.verdict for verdict, _ in emptied.verdicts.values()} == {"undecided"}
    assert {mean.rows for mean, _ in emptied.means.values()} == {0}
