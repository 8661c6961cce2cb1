"""The share of one ingestor: from its settings, and kept at the register as that changes.

Only `data` is divided. `state` is retained, and a broker hands no retained message to a shared subscription; it and
`order-ack` are few and their storing is idempotent, so that every ingestor reads all of them. Two ingestors that read
the same frame store it once (the database decides), so a division that overlaps costs work and nothing else.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from psycopg_pool import AsyncConnectionPool

from plant import topics
from plant.errors import BadDocument, Fault, Unavailable
from plant.identifiers import is_identifier
from plant.settings import PREFIX, Settings
from plant.shares import Share
from store.notify import wake_ups
from store.pool import Connection, transaction
from store.register import regions_of_sites

logger = logging.getLogger(__name__)

POLL_S: Final = 5.0


def share_of(settings: Settings) -> Share:
    """What *settings* say; `BadDocument` with every fault."""
    faults: list[Fault] = []
    if settings.ingestor_group and not is_identifier(settings.ingestor_group):
        faults.append(Fault(f"{PREFIX}INGESTOR_GROUP", "must match [A-Za-z0-9_-]{1,64}"))
    sites = _names("INGESTOR_SITES", settings.ingestor_sites, faults)
    regions = _names("INGESTOR_REGIONS", settings.ingestor_regions, faults)
    if faults:
        raise BadDocument("environment", faults)
    return Share(settings.ingestor_group, sites, regions)


def _names(setting: str, text: str, faults: list[Fault]) -> frozenset[str]:
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    wrong = [name for name in names if not is_identifier(name)]
    if wrong:
        faults.append(Fault(PREFIX + setting, f"must be names with commas between; {wrong[0]!r} is none"))
    return frozenset(names)


def note_filters(root: str) -> frozenset[str]:
    """What every ingestor reads whole."""
    return frozenset(f"{root}/+/+/{kind}" for kind in topics.FROM_EDGES - {topics.DATA})


class Covers(Protocol):
    """What can be told which messages to take."""

    def cover(self, data_filters: frozenset[str]) -> None: ...


async def follow_register(
    settings: Settings, pool: AsyncConnectionPool[Connection], share: Share, subscriber: Covers
) -> None:
    """Keep *subscriber* at the sites that are taken, whatever the register becomes; runs until cancelled."""
    if share.takes_all_sites:
        return
    unknown: frozenset[str] = frozenset()
    async with wake_ups(settings.database_url, "register", poll_s=POLL_S) as woken:
        async for _ in woken:
            try:
                async with transaction(pool) as conn:
                    regions = await regions_of_sites(conn)
            except Unavailable as error:
                logger.warning("register_unread", extra={"reason": str(error)})
                continue
            subscriber.cover(share.data_filters(settings.topic_root, regions))
            missing = (share.sites - regions.keys()) | (share.regions - set(regions.values()))
            if missing - unknown:
                logger.warning("share_not_registered", extra={"names": sorted(missing)})
            unknown = missing
