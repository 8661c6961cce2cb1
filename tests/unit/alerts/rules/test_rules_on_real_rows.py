"""The rules on values over a year of a real gas turbine, a row an hour: what they find, a person has looked at.

UCI Gas Turbine CO and NOx Emission Data Set (see tests/data). It has no time stamps and lacks hours without a mark, so
its rows are taken as hours that follow one another.
"""

from __future__ import annotations

import csv
from functools import lru_cache

import numpy as np
import pytest

from alerts.hours import judge_rows
from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.subject import Subject
from builders import GAS_TURBINE
from history_builders import a_site, a_stack, found
from plant.features import hour_features
from plant.periods import HOUR
from plant.readings import Rows
from plant.register import Channel
from simulated_histories import BEGIN

FROZEN = list(range(1339, 1438))
"""NOx of 60.38 mg/m3 from row 1336 to row 1437, while load, temperatures and CO go on."""

COLUMNS = {"nox": "NOX", "co": "CO", "temperature": "TAT", "load_pct": "TEY"}
ON_VALUES = (
    *("conflicts", "out_of_range", "negative", "constant", "step", "hugging_the_limit", "sibling_identity"),
    *("oxygen_high", "dilution", "claims_follow_values"),
)


@lru_cache(maxsize=1)
def gas_turbine() -> History:
    with GAS_TURBINE.open(newline="") as file:
        table = list(csv.DictReader(file))
    n = len(table)
    rows = Rows(
        sampled_at=BEGIN + np.arange(n, dtype=np.int64) * HOUR,
        interval_s=np.full(n, 3600, dtype=np.int64),
        not_running=np.zeros(n, dtype=bool),
        values={name: np.array([float(row[column]) for row in table]) for name, column in COLUMNS.items()},
        flags={},
        row_flag=np.full(n, ord("N"), dtype=np.uint8),
    )
    stack = a_stack("gas_turbine", interval_s=3600, channels={"nox": Channel(corrected=True)})
    subject = Subject(site_id=1, stack_id=1, site=a_site(stack), stack=stack)
    features = hour_features({"main": rows}, stack, first=BEGIN, n_hours=n)
    now = BEGIN + (n + 1) * HOUR
    return History(
        site=subject.site,
        stack=stack,
        packs=subject.packs,
        now=now,
        start=rows.sampled_at,
        ended=np.ones(n, dtype=bool),
        outlet=features.outlet,
        channels=features.channels,
        verdicts=judge_rows(subject, {"main": rows}, first=BEGIN, n_hours=n, now=now).verdicts(),
    )


def test_the_hundred_hours_of_one_value_are_found() -> None:
    constant = next(rule for rule in RULES if rule.name == "constant")
    assert found(constant, gas_turbine(), "nox") == FROZEN
    assert found(constant, gas_turbine()) == FROZEN


@pytest.mark.parametrize("name", [name for name in ON_VALUES if name != "constant"])
def test_nothing_else_is_found_in_the_year(name: str) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    assert found(rule, gas_turbine()) == []
