"""The grammar of topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant import topics
from plant.errors import Undecodable
from plant.identifiers import is_identifier

names = st.text("abcXYZ019_-", min_size=1, max_size=64)
roots = st.sampled_from(["ule/v1", "x", "a/b/c/d"])


@pytest.mark.parametrize(
    "topic",
    [
        "ule/v1/works/e1",
        "ule/v1/works/e1/data/more",
        "ule/v1/works/data",
        "ule/v1//e1/data",
        "ule/v1/works//data",
        "ule/v1/wo rks/e1/data",
        "ule/v1/wo.rks/e1/data",
        "ule/v1/works/é/data",
        "ule/v1/works/e1/receipt",
        "ule/v1/works/e1/DATA",
        "ule/v1/works/e1/data/",
        "/ule/v1/works/e1/data",
        "ule/v2/works/e1/data",
        "ule/v1x/works/e1/data",
        f"ule/v1/{'s' * 65}/e1/data",
        "ule/v1/works\n/e1/data",
        "",
    ],
)
def test_a_topic_that_no_edge_may_publish_is_refused(topic: str) -> None:
    with pytest.raises(Undecodable, match="topic"):
        topics.parse("ule/v1", topic)


def test_an_endless_topic_makes_no_endless_reason() -> None:
    for topic in ("x" * 60_000, f"ule/v1/{'s' * 60_000}/e1/data"):
        with pytest.raises(Undecodable) as refused:
            topics.parse("ule/v1", topic)
        assert len(str(refused.value)) < 500


@given(roots, names, names)
def test_what_is_built_is_read_back(root: str, site: str, edge: str) -> None:
    assert topics.parse(root, topics.data(root, site, edge)) == topics.Speaker(site, edge, "data")
    assert topics.parse(root, topics.state(root, site, edge)) == topics.Speaker(site, edge, "state")
    assert topics.parse(root, topics.order_ack(root, site, edge)) == topics.Speaker(site, edge, "order-ack")


def test_what_the_system_publishes_is_nothing_an_edge_may() -> None:
    for topic in (topics.receipt("ule/v1", "works", "e1"), topics.orders("ule/v1", "works")):
        with pytest.raises(Undecodable):
            topics.parse("ule/v1", topic)


def test_topics_are_those_of_the_contract() -> None:
    root = topics.DEFAULT_ROOT
    assert topics.data(root, "works", "e1") == "ule/v1/works/e1/data"
    assert topics.receipt(root, "works", "e1") == "ule/v1/works/e1/receipt"
    assert topics.state(root, "works", "e1") == "ule/v1/works/e1/state"
    assert topics.orders(root, "works") == "ule/v1/works/orders"
    assert topics.order_ack(root, "works", "e1") == "ule/v1/works/e1/order-ack"
    assert topics.subscriptions(root) == ("ule/v1/+/+/data", "ule/v1/+/+/order-ack", "ule/v1/+/+/state")


@pytest.mark.parametrize("name", ["a", "A-Z_09", "x" * 64])
def test_a_name_of_letters_digits_hyphen_and_underscore_is_an_identifier(name: str) -> None:
    assert is_identifier(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "a/b", "a+", "ä", "a\n", None, 7, ["a"]])
def test_anything_else_is_no_identifier(name: object) -> None:
    assert not is_identifier(name)
