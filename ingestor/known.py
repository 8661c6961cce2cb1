"""What the ingestor knows of the register: read whole, and read again when its stamp changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, LiteralString

from ingestor.rows import KnownSite, KnownStack
from store.pool import Connection

_STAMP: Final[LiteralString] = """
SELECT (SELECT concat_ws('/', sum(version), count(*)) FROM site),
       (SELECT concat_ws('/', sum(version), count(*), count(withdrawn_at)) FROM stack),
       (SELECT concat_ws('/', sum(version), count(*), count(withdrawn_at)) FROM unit)
"""
_UNITS: Final[LiteralString] = """
SELECT s.code, u.code FROM site s JOIN unit u ON u.site_id = s.site_id AND u.withdrawn_at IS NULL
"""
_SITES: Final[LiteralString] = """
SELECT s.code, s.site_id, s.simulated, s.timezone, k.code, k.stack_id, k.interval_s,
       coalesce(k.document ->> 'stamped' = 'end', false)
FROM site s LEFT JOIN stack k ON k.site_id = s.site_id AND k.withdrawn_at IS NULL
"""


@dataclass(slots=True)
class KnownRegister:
    """Sites by code. `refresh` costs one small query while nothing has changed."""

    sites: Mapping[str, KnownSite] = field(default_factory=dict)
    _stamp: tuple[str, ...] | None = None

    async def refresh(self, conn: Connection) -> bool:
        """Read the register again if it changed; whether it did."""
        row = await (await conn.execute(_STAMP)).fetchone()
        assert row is not None
        if tuple(row) == self._stamp:
            return False
        heads: dict[str, tuple[int, bool, str]] = {}
        stacks: dict[str, dict[str, KnownStack]] = {}
        for code, site_id, simulated, timezone, stack, stack_id, interval_s, at_end in await (
            await conn.execute(_SITES)
        ).fetchall():
            heads[code] = (site_id, simulated, timezone)
            known = stacks.setdefault(code, {})
            if stack is not None:
                known[stack] = KnownStack(stack_id=stack_id, interval_s=interval_s, stamped_at_end=at_end)
        units: dict[str, set[str]] = {}
        for code, unit in await (await conn.execute(_UNITS)).fetchall():
            units.setdefault(code, set()).add(unit)
        self.sites = {
            code: KnownSite(
                site_id=site_id,
                simulated=simulated,
                timezone=timezone,
                stacks=stacks[code],
                units=frozenset(units.get(code, ())),
            )
            for code, (site_id, simulated, timezone) in heads.items()
        }
        self._stamp = tuple(row)
        return True
