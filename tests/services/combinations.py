"""On which services a test runs: every test on the real database, every test of MQTT on every broker.

A test marked `both_databases` runs on plain PostgreSQL too, with one broker. One marked `timescaledb_only` has nothing
to see there. What cannot be had is not passed over: it stands in the list with its reason, and is reported as skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.databases import POSTGRESQL, TIMESCALEDB
from services.offers import Missing, Offer, Offers


@dataclass(frozen=True, slots=True)
class Combination:
    database: str | None  #: None: the test asks for none
    broker: str | None
    missing: str | None = None  #: why it cannot be had


def combinations(
    databases: Offers | None, brokers: Offers | None, *, both_databases: bool = False, timescaledb_only: bool = False
) -> list[Combination]:
    """What a test runs on that asks for a database, a broker or both (None: it does not)."""
    wanted_databases = [None] if databases is None else list(_databases(databases, both_databases, timescaledb_only))
    wanted_brokers = [None] if brokers is None else list(_brokers(brokers))
    found: list[Combination] = []
    every_broker_had = False
    for database in wanted_databases:
        reason = None if database is None else _reason(databases, database)
        for broker in wanted_brokers:
            why = reason or (None if broker is None else _reason(brokers, broker))
            found.append(Combination(database, broker, why))
            if reason or every_broker_had:
                break  # one line says it; and one broker is enough on the second database
        every_broker_had = every_broker_had or reason is None
    return found


def _databases(offers: Offers, both: bool, timescaledb_only: bool) -> Iterable[str]:
    if TIMESCALEDB in offers:
        yield TIMESCALEDB
    if not timescaledb_only and (both or not isinstance(offers.get(TIMESCALEDB), Offer)):
        yield POSTGRESQL


def _brokers(offers: Offers) -> Iterable[str]:
    for kind, offer in offers.items():
        if isinstance(offer, Offer) or offer.required:
            yield kind


def _reason(offers: Offers | None, kind: str) -> str | None:
    assert offers is not None
    offer = offers[kind]
    return offer.reason if isinstance(offer, Missing) else None
