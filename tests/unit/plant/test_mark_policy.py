"""What a region asks of marks is read from its register, and a fault is named."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from plant.errors import BadDocument
from plant.mark_policy import DEADLINE_H, MarkPolicy
from plant.register import read_register

REGION = '[[region]]\ncode = "hebei"\nname = "Hebei"\n'


def policy(text: str) -> MarkPolicy:
    register = read_register(tomllib.loads(REGION + text, parse_float=Decimal), "test", packs={})
    return register.regions[0].marks


def test_a_region_that_says_nothing_has_the_default_deadline_and_no_quota() -> None:
    assert policy("") == MarkPolicy(deadline_h=DEADLINE_H, quota_h={})


def test_deadline_and_quota_are_the_regions() -> None:
    text = "[region.marks]\ndeadline_h = 12\n[region.marks.quota_h]\nfault = 60\ncalibration = 36.5\n"
    assert policy(text) == MarkPolicy(deadline_h=12, quota_h={"fault": 60.0, "calibration": 36.5})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[region.marks]\ndeadline_h = -1\n", "region[0].marks.deadline_h"),
        ("[region.marks]\ndeadline = 12\n", "region[0].marks.deadline"),
        ("[region.marks.quota_h]\nholiday = 12\n", "region[0].marks.quota_h.holiday"),
        ("[region.marks.quota_h]\nfault = 'much'\n", "region[0].marks.quota_h.fault"),
    ],
)
def test_a_fault_is_named_with_its_key(text: str, path: str) -> None:
    with pytest.raises(BadDocument) as refused:
        policy(text)
    assert [fault.path for fault in refused.value.faults] == [path]
