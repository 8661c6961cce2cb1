"""Chaos, short: a few fixed seeds, one with each set of weights. `make chaos SEEDS=1000` runs the long one."""

from __future__ import annotations

import os
from typing import Final

import pytest

from chaos.plan import Plan
from chaos.run import run
from chaos.schedule import PROFILES
from chaos.stand import ground

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

_PLANS: Final = (
    Plan(seed=1, profile="everything", broker="nats"),
    Plan(seed=2, profile="kills"),
    Plan(seed=3, profile="network"),
    Plan(seed=4, profile="disks-and-clocks"),
)


def test_every_set_of_weights_has_its_run() -> None:
    assert {plan.profile for plan in _PLANS} == set(PROFILES)


@pytest.mark.parametrize("plan", _PLANS, ids=[plan.profile for plan in _PLANS])
async def test_whatever_is_killed_cut_filled_or_mis_set_every_row_is_there_once_and_judged_as_ever(plan: Plan) -> None:
    async with ground() as on:
        report = await run(on, plan)
    assert not report.faults, report.story()
    assert sum(report.done.values()) == len(report.schedule)
    if os.environ.get("CI") == "true":
        assert not report.left_out, "what cannot be done here is not shown here"
