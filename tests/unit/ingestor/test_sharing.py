"""Which messages an ingestor takes, from its settings and the register."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.sharing import note_filters, share_of
from plant.errors import BadDocument
from plant.settings import Settings
from plant.shares import Share, uncovered

ROOT = "ule/v1"
REGIONS = {"anshan": "north", "benxi": "north", "qujing": "south"}

sites = st.sampled_from(sorted(REGIONS))
shares = st.builds(
    Share, st.sampled_from(["", "g"]), st.frozensets(sites), st.frozensets(st.sampled_from(["north", "south"]))
)


def test_without_settings_everything_is_taken_by_one_filter() -> None:
    assert share_of(Settings()).data_filters(ROOT, REGIONS) == {"ule/v1/+/+/data"}


def test_a_group_shares_what_edges_publish_and_each_member_reads_what_they_say_of_themselves() -> None:
    share = share_of(Settings(ingestor_group="g"))
    assert share.data_filters(ROOT, REGIONS) == {"$share/g/ule/v1/+/+/data"}
    assert note_filters(ROOT) == {"ule/v1/+/+/state", "ule/v1/+/+/order-ack"}


def test_sites_and_the_sites_of_regions_are_taken_by_name() -> None:
    share = share_of(Settings(ingestor_sites="qujing, elsewhere", ingestor_regions="north"))
    taken = {f"ule/v1/{site}/+/data" for site in ("anshan", "benxi", "qujing", "elsewhere")}
    assert share.data_filters(ROOT, REGIONS) == taken
    assert share.data_filters(ROOT, {}) == {"ule/v1/qujing/+/data", "ule/v1/elsewhere/+/data"}


def test_a_group_may_share_the_sites_of_a_region() -> None:
    share = share_of(Settings(ingestor_group="g", ingestor_regions="south"))
    assert share.data_filters(ROOT, REGIONS) == {"$share/g/ule/v1/qujing/+/data"}


def test_every_fault_of_the_settings_is_named_at_once() -> None:
    with pytest.raises(BadDocument) as refused:
        share_of(Settings(ingestor_group="a/b", ingestor_sites="a,,b", ingestor_regions="north south"))
    assert [fault.path for fault in refused.value.faults] == [
        "STACKWATCH_INGESTOR_GROUP",
        "STACKWATCH_INGESTOR_SITES",
        "STACKWATCH_INGESTOR_REGIONS",
    ]


def test_what_nobody_takes_is_named_in_order() -> None:
    assert uncovered(REGIONS, []) == ["anshan", "benxi", "qujing"]
    assert uncovered(REGIONS, [Share(sites=frozenset({"benxi"}))]) == ["anshan", "qujing"]
    assert uncovered(REGIONS, [Share(regions=frozenset({"north"})), Share("g", frozenset({"qujing"}))]) == []
    assert uncovered(REGIONS, [Share("g")]) == []


@given(shares)
def test_a_heartbeat_tells_a_share_whole(share: Share) -> None:
    assert Share.from_document(share.document()) == share


@given(st.lists(shares, max_size=4))
def test_a_site_is_uncovered_exactly_when_no_filter_of_any_share_names_it(several: list[Share]) -> None:
    filters = {one.removeprefix("$share/g/") for share in several for one in share.data_filters(ROOT, REGIONS)}
    left = [site for site in sorted(REGIONS) if not filters & {"ule/v1/+/+/data", f"ule/v1/{site}/+/data"}]
    assert uncovered(REGIONS, several) == left
