"""What is judged: each pollutant under each pack, on the days on which the pack holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from alerts.hours import judge_rows
from alerts.subject import Subject
from hour_builders import FIRST, LONG_AFTER, ULE, a_stack, as_rows, samples
from plant.packs import Pack, pack
from plant.periods import HOUR, SECOND, micros
from plant.register import Channel, Site, Stack


def a_subject(stack: Stack | None = None, *packs: Pack) -> Subject:
    where = stack or a_stack()
    site = Site(code="works", name="A works", region="hebei", timezone="Asia/Shanghai", stacks=(where,))
    return Subject(site_id=1, stack_id=1, site=site, stack=where, packs=packs)


def test_a_subject_has_the_packs_of_its_register_unless_it_is_given_others() -> None:
    assert [each.name for each in a_subject().packs] == [ULE]
    draft = replace(pack(ULE), name="draft")
    assert {watched.pack.name for watched in a_subject(None, draft).watched} == {"draft"}


def test_each_limited_pollutant_is_watched_under_each_pack() -> None:
    both = a_subject(None, pack(ULE), pack("cn-gb28662-special"))
    assert {(w.pack.name, w.pollutant) for w in both.watched} == {
        (name, pollutant) for name in (ULE, "cn-gb28662-special") for pollutant in ("pm", "so2", "nox")
    }


def test_an_envelope_needs_a_registered_range() -> None:
    stack = a_stack(so2=Channel(range=(0.0, 200.0)), o2=Channel(range=(0.0, 25.0)))
    found = {watched.pollutant: watched.envelope for watched in a_subject(stack).watched}
    assert found["so2"] is not None
    assert found["nox"] is None


@pytest.mark.parametrize(("since", "until"), [(date(2026, 11, 10), None), (None, date(2026, 11, 11))])
def test_a_pack_holds_from_local_midnight_to_local_midnight(since: date | None, until: date | None) -> None:
    watched = a_subject(None, replace(pack(ULE), valid_from=since, valid_until=until)).watched[0]
    midnight = micros(datetime(2026, 11, 9, 16, tzinfo=UTC))  # of the tenth, in Shanghai
    hours = midnight + np.arange(-2, 26) * HOUR
    holds = watched.in_force(hours).tolist()
    assert holds == ([False] * 2 + [True] * 26 if since else [True] * 26 + [False] * 2)


def test_an_hour_in_which_no_pack_holds_is_not_listed() -> None:
    subject = a_subject(None, replace(pack(ULE), valid_from=date(2027, 1, 1)))
    rows = {"main": as_rows(samples(60, so2=50.0, o2=16.0))}
    judged = judge_rows(subject, rows, first=FIRST, n_hours=1, now=LONG_AFTER)
    assert not judged.findings
    assert all(hours.verdict[0] is None for hours in judged.verdicts().values())


def test_an_hour_has_ended_when_it_has_under_every_pack() -> None:
    slow = replace(pack(ULE), averaging=replace(pack(ULE).averaging, ended_after_s=600))
    subject = a_subject(None, pack(ULE), slow)
    start = np.array([FIRST])
    assert not subject.ended(start, FIRST + HOUR + 599 * SECOND)[0]
    assert subject.ended(start, FIRST + HOUR + 600 * SECOND)[0]


def test_packs_that_average_alike_share_their_means() -> None:
    subject = a_subject(None, pack(ULE), replace(pack(ULE), name="draft"))
    rows = {"main": as_rows(samples(60, so2=50.0, o2=16.0))}
    judged = judge_rows(subject, rows, first=FIRST, n_hours=1, now=LONG_AFTER)
    by_pack = {each.watched.pack.name: each.means for each in judged.series if each.watched.pollutant == "so2"}
    assert by_pack[ULE] is by_pack["draft"]


def test_the_findings_of_an_hour_are_of_the_hour() -> None:
    rows = {"main": as_rows(samples(180, so2=50.0, o2=16.0))}
    judged = judge_rows(a_subject(), rows, first=FIRST, n_hours=3, now=LONG_AFTER)
    above = [finding for finding in judged.findings if finding.series.rule == "hour_above_limit"]
    assert [finding.period_start for finding in above] == [FIRST + i * HOUR for i in range(3)]
    assert {finding.observed for finding in above} == {50.0}
