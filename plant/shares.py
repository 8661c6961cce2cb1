"""Which part of what edges publish one ingestor takes, and what several leave over together.

The ingestor subscribes to its share and says it in its heartbeat; whoever looks after the whole reads it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plant import topics


@dataclass(frozen=True, slots=True)
class Share:
    """What one ingestor takes: without sites and regions all of them; with a group, in turn with its members."""

    group: str = ""
    sites: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    @property
    def takes_all_sites(self) -> bool:
        return not self.sites and not self.regions

    def sites_of(self, regions: Mapping[str, str]) -> frozenset[str]:
        """The sites that are taken, of those in *regions* (region by site) and of those that are named."""
        if self.takes_all_sites:
            return frozenset(regions)
        return self.sites | {site for site, region in regions.items() if region in self.regions}

    def data_filters(self, root: str, regions: Mapping[str, str]) -> frozenset[str]:
        """What to subscribe to for `data`."""
        sites = ["+"] if self.takes_all_sites else self.sites_of(regions)
        return frozenset(self._of_group(topics.data(root, site, "+")) for site in sites)

    def _of_group(self, topic_filter: str) -> str:
        return f"$share/{self.group}/{topic_filter}" if self.group else topic_filter

    def document(self) -> dict[str, Any]:
        """For the heartbeat."""
        return {"group": self.group, "sites": sorted(self.sites), "regions": sorted(self.regions)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Share:
        """What a heartbeat says; one that says nothing takes all."""
        sites, regions = document.get("sites", ()), document.get("regions", ())
        return cls(str(document.get("group", "")), frozenset(sites), frozenset(regions))


def uncovered(regions: Mapping[str, str], shares: Iterable[Share]) -> list[str]:
    """The registered sites that none of *shares* takes, in order."""
    left = set(regions)
    for share in shares:
        left -= share.sites_of(regions)
    return sorted(left)
