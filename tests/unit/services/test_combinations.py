"""Which services a test runs on: nothing that can be had is left out, nothing that cannot is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from services.combinations import Combination, combinations
from services.offers import Missing, Offer, Scratch


@contextmanager
def nothing(_: Scratch) -> Iterator[str]:
    yield "nowhere"


HAD: Final = Offer("somewhere", "1", nothing)
BOTH: Final[dict[str, Offer | Missing]] = {"timescaledb": HAD, "postgresql": HAD}
PLAIN: Final[dict[str, Offer | Missing]] = {"timescaledb": Missing("no Debian"), "postgresql": HAD}
BROKERS: Final[dict[str, Offer | Missing]] = {
    "nats": HAD,
    "mosquitto": HAD,
    "emqx": Missing("no Docker", required=False),
}


def test_a_test_of_the_database_runs_on_the_real_one() -> None:
    assert combinations(BOTH, None) == [Combination("timescaledb", None)]


def test_a_marked_one_runs_on_the_plain_one_too() -> None:
    assert combinations(BOTH, None, both_databases=True) == [
        Combination("timescaledb", None),
        Combination("postgresql", None),
    ]


@pytest.mark.parametrize("both", [False, True])
def test_without_the_real_one_everything_runs_on_the_plain_one_and_what_is_missing_is_said(both: bool) -> None:
    assert combinations(PLAIN, None, both_databases=both) == [
        Combination("timescaledb", None, "no Debian"),
        Combination("postgresql", None),
    ]


def test_what_only_the_real_one_has_is_not_looked_for_elsewhere() -> None:
    assert combinations(BOTH, None, both_databases=True, timescaledb_only=True) == [Combination("timescaledb", None)]
    assert combinations(PLAIN, None, timescaledb_only=True) == [Combination("timescaledb", None, "no Debian")]


def test_a_test_of_mqtt_runs_on_every_broker_and_emqx_is_asked_for_only_where_docker_is() -> None:
    assert combinations(None, BROKERS) == [Combination(None, "nats"), Combination(None, "mosquitto")]
    assert combinations(None, BROKERS | {"emqx": HAD})[-1] == Combination(None, "emqx")


def test_a_broker_that_must_be_there_and_is_not_is_said() -> None:
    brokers = BROKERS | {"mosquitto": Missing("no apt")}
    assert combinations(None, brokers) == [Combination(None, "nats"), Combination(None, "mosquitto", "no apt")]


def test_one_broker_is_enough_on_the_second_database() -> None:
    assert combinations(BOTH, BROKERS, both_databases=True) == [
        Combination("timescaledb", "nats"),
        Combination("timescaledb", "mosquitto"),
        Combination("postgresql", "nats"),
    ]
    assert combinations(PLAIN, BROKERS) == [
        Combination("timescaledb", "nats", "no Debian"),
        Combination("postgresql", "nats"),
        Combination("postgresql", "mosquitto"),
    ]
