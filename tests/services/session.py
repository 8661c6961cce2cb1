"""The services of a test session: looked for once, installed and started when the first test asks, told at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from services.brokers import brokers, own_kinds
from services.databases import Template, databases, migrated_template
from services.offers import Missing, NotToBeHad, Offer, Offers, Scratch


@dataclass
class Services:
    """What there is, and what of it was used."""

    databases: Offers
    brokers: Offers
    own_brokers: Offers
    tests: Counter[str] = field(default_factory=Counter)  #: how many ran on each
    versions: dict[str, str] = field(default_factory=dict)  #: of those that were started

    def all(self) -> dict[str, Offer | Missing]:
        return {**self.databases, **self.brokers}


def look_around(database_url: str | None, mqtt_urls: str | None) -> Services:
    found = brokers(mqtt_urls)
    return Services(databases(database_url), found, own_kinds(found))


def prepared(offers: Offers, say: Callable[[str], None]) -> Offers:
    """*offers* with all that can be installed installed; what could not be is missing."""
    ready: dict[str, Offer | Missing] = {}
    for kind, offer in offers.items():
        ready[kind] = offer
        if isinstance(offer, Offer):
            try:
                offer.prepare()
            except NotToBeHad as error:
                say(f"{kind} cannot be installed: {error}")
                ready[kind] = Missing(f"no {kind}: {error}")
    return ready


class Running:
    """The servers of this session, each started when it is asked for first."""

    def __init__(self, services: Services, scratch: Scratch) -> None:
        self._services = services
        self._scratch = scratch
        self._stack = ExitStack()
        self._urls: dict[str, str] = {}
        self._templates: dict[str, Template] = {}

    def database_url(self, kind: str) -> str:
        """Of a database whose user may create others."""
        if kind not in self._urls:
            self._urls[kind] = self._start(self._services.databases[kind])
        return self._urls[kind]

    def template(self, kind: str) -> str:
        """The name of a migrated database on the server of *kind*, to be copied."""
        if kind not in self._templates:
            template = self._stack.enter_context(migrated_template(self.database_url(kind)))
            self._templates[kind] = template
            self._services.versions[kind] = template.version
        return self._templates[kind].name

    def mqtt_url(self, kind: str) -> str:
        if kind not in self._urls:
            self._urls[kind] = self._start(self._services.brokers[kind])
        return self._urls[kind]

    def _start(self, offer: Offer | Missing) -> str:
        assert isinstance(offer, Offer), "no test is made for what is missing"
        return self._stack.enter_context(offer.start(self._scratch))

    def close(self) -> None:
        self._stack.close()
