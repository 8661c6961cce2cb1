"""What part of the register a reader may see, as a value and as the one SQL condition that applies it.

Who gets which scope is the API's decision; here it only narrows queries.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, LiteralString

IN_SCOPE: Final[LiteralString] = """
    (%(scope_sites)s::text[] IS NULL OR s.code = ANY(%(scope_sites)s::text[]))
    AND (%(scope_regions)s::text[] IS NULL OR r.code = ANY(%(scope_regions)s::text[]))
    AND NOT (%(scope_public)s AND s.simulated)
"""
"""True for a site `s` of a region `r` within the scope whose `parameters` are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Sites and regions that a reader is narrowed to; None is not narrowed."""

    sites: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    public: bool = False  #: nobody in particular: simulated sites do not exist

    def parameters(self) -> dict[str, Any]:
        return {
            "scope_sites": None if self.sites is None else sorted(self.sites),
            "scope_regions": None if self.regions is None else sorted(self.regions),
            "scope_public": self.public,
        }

    def holds(self, site: str, region: str) -> bool:
        """Whether a site is inside by its code and region. Says nothing about simulated sites."""
        return (self.sites is None or site in self.sites) and (self.regions is None or region in self.regions)


EVERYWHERE: Final = Scope()


def narrowed(names: Collection[str]) -> frozenset[str] | None:
    """An empty list of names in the database means: not narrowed."""
    return frozenset(names) if names else None
