"""Hours above the limit: which are found, and how grave they are."""

from __future__ import annotations

import pytest

from alerts.rules import hour_above_limit
from alerts.rules.finding import Finding
from alerts.subject import Subject
from hour_builders import ULE
from law_builders import a_subject, judged
from plant.packs import pack


def found(subject: Subject, pm: float, *, minutes: int = 60) -> list[Finding]:
    findings = judged(subject, [{"pm": pm}] * minutes).findings
    return [finding for finding in findings if finding.series.rule == hour_above_limit.NAME]


def test_a_breached_hour_is_found_with_its_numbers() -> None:
    (above,) = found(a_subject(), 10.5)
    assert (above.observed, above.limit, above.unit, above.settled) == (10.5, 10.0, "mg/m3", True)
    assert above.evidence["valid_minutes"] == 60
    assert above.evidence["reason"] == "above"
    assert above.ended_at is None, "what follows ends it"


@pytest.mark.parametrize(
    ("pm", "minutes"),
    [
        pytest.param(10.0, 60, id="at_the_limit_is_within"),
        pytest.param(99.0, 44, id="too_few_minutes_are_undecided"),
    ],
)
def test_an_hour_that_is_not_breached_is_not_found(pm: float, minutes: int) -> None:
    assert not found(a_subject(), pm, minutes=minutes)


def test_how_grave_it_is_follows_what_binds_and_how_far_it_is_passed() -> None:
    policy = a_subject(packs=(pack(ULE),))
    standard = a_subject(packs=(pack("cn-gb28663-special"),))
    permit = a_subject(packs=(pack(ULE),), permit_mix_mg_m3={"pm": 10.0})
    limit = next(watched.rule.limit.mg_m3 for watched in standard.watched if watched.pollutant == "pm")
    graded = [
        (found(subject, times * of)[0].severity)
        for subject, of in ((policy, 10.0), (standard, limit), (permit, 10.0))
        for times in (1.5, 2.0, 2.1)
    ]
    assert graded == ["warning", "warning", "major", "major", "major", "critical", "major", "major", "critical"]
