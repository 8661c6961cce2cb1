"""The AsyncAPI document agrees with the code that speaks MQTT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.enforcement.orders import UnitMode, suspension
from alerts.enforcement.orders import body as order_list
from edge.publisher import will
from ingestor import reported
from ingestor.decode import KnownSite, KnownStack, decode
from ingestor.rows import HEAD
from plant import reports, topics, wire
from plant.channels import CHANNELS, FLAGS, STATES
from plant.periods import instant
from plant.settings import manual
from plant.wire import Receipt, Row

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml").read_text(encoding="utf-8")
)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SITE = KnownSite(
    site_id=1,
    simulated=False,
    timezone="Asia/Shanghai",
    stacks={code: KnownStack(stack_id=number, interval_s=60) for number, code in enumerate(("DA001", "DA002"))},
    units=frozenset({"S1"}),
)
NOW = 1_795_200_000_000_000  #: microseconds: later than every example


def example(message: str) -> Any:
    return MESSAGES[message]["examples"][0]["payload"]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_the_document_names_every_topic_and_no_other() -> None:
    root = next(default for name, default, _ in manual() if name.endswith("TOPIC_ROOT"))
    assert DOCUMENT["asyncapi"].startswith("3.")
    assert {name: channel["address"] for name, channel in DOCUMENT["channels"].items()} == {
        topics.DATA: topics.data(root, "{site}", "{edge}"),
        topics.RECEIPT: topics.receipt(root, "{site}", "{edge}"),
        topics.STATE: topics.state(root, "{site}", "{edge}"),
        topics.ORDERS: topics.orders(root, "{site}"),
        topics.ORDER_ACK: topics.order_ack(root, "{site}", "{edge}"),
    }


def test_the_system_receives_what_edges_may_publish_and_sends_the_rest() -> None:
    actions = {op["channel"]["$ref"].rsplit("/", 1)[1]: op["action"] for op in DOCUMENT["operations"].values()}
    assert {name for name, action in actions.items() if action == "receive"} == topics.FROM_EDGES
    assert {name for name, action in actions.items() if action == "send"} == {topics.RECEIPT, topics.ORDERS}


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert found
    for reference in found:
        node = DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_channels_flags_and_states_are_those_of_the_code() -> None:
    assert tuple(sorted(SCHEMAS["channels"]["properties"])) == tuple(sorted(CHANNELS))
    assert set(SCHEMAS["flag"]["enum"]) == {*FLAGS, None}
    assert set(SCHEMAS["source-state"]["enum"]) == {*STATES, None}


@pytest.mark.parametrize(
    ("message", "rows"),
    [("measurement", 1), ("measurements", 2), ("frame", 2)],
)
def test_the_examples_of_measurements_are_taken_whole(message: str, rows: int) -> None:
    payload = json.dumps(example(message)).encode()
    taken = decode(payload, topics.Speaker("works-1", "me", topics.DATA), SITE, received_at=NOW)
    assert (len(taken.rows), list(taken.refused)) == (rows, [])


def test_a_frame_of_an_edge_has_documented_keys_only() -> None:
    row = Row(
        stack="DA001",
        sampled_at_ms=0,
        values={"so2": 1.0},
        interval_s=60,
        instrument="main",
        state="running",
        flag="N",
        flags={"so2": "C"},
        revision=1,
    )
    payload = wire.frame(wire.columns([row]), session="s", seq=1, low=1, rows_before=0, dropped_before=0, sent_at_ms=0)
    assert set(json.loads(payload)) == {*SCHEMAS["frame"]["properties"], "so2"} - {"kind"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [("reported-means", reports.REPORTED_MEAN), ("signals", reports.SIGNAL)],
    ids=["means", "signals"],
)
def test_frames_of_other_kinds_are_as_documented(message: str, kind: reports.Kind) -> None:
    payload = json.dumps(example(message)).encode()
    taken = decode(payload, topics.Speaker("works-1", "me", topics.DATA), SITE, received_at=NOW)
    assert ([report.kind for report in taken.reports], list(taken.refused)) == ([kind, kind], [])
    columns = {*reported.KEYS[kind], "kind", *HEAD} - {"site", "edge"}
    assert set(SCHEMAS[message]["properties"]) == columns
    assert set(example(message)) <= columns


def test_receipts_and_states_are_as_documented() -> None:
    receipt = json.loads(wire.receipt_bytes(Receipt(session="s", through=1)))
    state = json.loads(wire.state_bytes(online=True, version="1"))
    assert list(receipt) == SCHEMAS["receipt"]["required"] == list(SCHEMAS["receipt"]["properties"])
    assert list(state) == SCHEMAS["state"]["required"]
    assert wire.receipt_from(json.dumps(example("receipt")).encode()).covers(44)
    assert set(example("state")) == set(state)


def test_the_last_will_is_a_documented_state() -> None:
    assert set(json.loads(will("ule/v1", "works-1", "me", "1").payload)) == set(SCHEMAS["state"]["required"])


def test_what_an_edge_says_of_its_parts_is_documented() -> None:
    source = SCHEMAS["state"]["properties"]["sources"]["additionalProperties"]
    payload = wire.state_bytes(online=True, version="1", more=dict.fromkeys(("sources", "agent_file", "hook")))
    assert set(json.loads(payload)) == set(SCHEMAS["state"]["properties"])
    assert set(source["required"]) == {"kind", "ok", "detail", "tolerated", "restarts"}
    assert set(source["properties"]) == {*source["required"], "figures"}


def test_a_list_of_orders_is_as_documented() -> None:
    order = suspension(case="case-1", number=4, codes=["S1"], registered={}, basis="a law", effective_from=instant(NOW))
    body = json.loads(order_list(site="works-1", version=1, issued_at=instant(NOW), orders=[order]))
    assert set(body) == set(SCHEMAS["order-list"]["required"])
    assert set(body["orders"][0]) == set(SCHEMAS["order"]["required"])
    unit = UnitMode(unit="S1", mode="stop").document()
    assert set(unit) == set(SCHEMAS["order"]["properties"]["units"]["items"]["required"])
