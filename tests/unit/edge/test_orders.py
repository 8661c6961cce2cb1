from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.orders import Order, OrderList, RejectedOrders, UnitOrder, public_key_from, read_orders
from plant.errors import BadDocument

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOTHING = OrderList(site="tangshan-1", version=0)


def a_body(version: int = 3, **changes: Any) -> str:
    order = {
        "order_id": "o-1",
        "case": "c-1",
        "order": "suspend",
        "units": [{"unit": "S1", "mode": "stop", "value": None}],
        "effective_from": "2026-11-21T00:00:00Z",
        "safe_state_by": "2026-11-21T06:00:00Z",
        "until": None,
        "basis": "fictional",
        "text": "停产",
    }
    return json.dumps(
        {"site": "tangshan-1", "version": version, "issued_at": "2026-11-21T00:00:00Z", "orders": [order]} | changes,
        ensure_ascii=False,
    )


def signed(body: str, key: Ed25519PrivateKey = KEY) -> bytes:
    signature = base64.b64encode(key.sign(body.encode())).decode()
    return json.dumps({"body": body, "key_id": "k", "signature": signature}).encode()


def read(payload: bytes, known: OrderList = NOTHING) -> OrderList:
    return read_orders(payload, key=KEY.public_key(), site="tangshan-1", known=known)


def test_a_signed_list_is_believed() -> None:
    listed = read(signed(a_body()))
    assert (listed.version, len(listed.orders)) == (3, 1)
    order = listed.orders[0]
    assert isinstance(order, Order)
    assert order.units == (UnitOrder(unit="S1", mode="stop", value=None),)
    assert order.text == "停产"
    assert order.safe_state_by is not None
    assert order.safe_state_by.hour == 6
    assert order.until is None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no_text"),
        pytest.param(a_body().encode(), id="unsigned"),
        pytest.param(json.dumps({"body": a_body(), "key_id": "k"}).encode(), id="no_signature"),
        pytest.param(json.dumps({"body": a_body(), "key_id": "k", "signature": ""}).encode(), id="empty_signature"),
        pytest.param(json.dumps({"body": a_body(), "key_id": "k", "signature": "!"}).encode(), id="no_base64"),
        pytest.param(signed(a_body(), Ed25519PrivateKey.from_private_bytes(bytes(32))), id="another_key"),
        pytest.param(signed(a_body()).replace(b"stop", b"idle"), id="changed_body"),
        pytest.param(signed("[]"), id="signed_nonsense"),
        pytest.param(signed(a_body(version=0)), id="version_zero"),
        pytest.param(signed(a_body(site="tangshan-2")), id="another_site"),
        pytest.param(signed(a_body(orders=[{"order_id": "o"}])), id="half_an_order"),
        pytest.param(b"[" * 100_000, id="endlessly_nested"),
        pytest.param(signed("[" * 100_000), id="signed_and_endlessly_nested"),
        pytest.param(signed(a_body().replace("null}]", f"{10**400}}}]")), id="a_number_beyond_all_numbers"),
    ],
)
def test_anything_else_is_rejected(payload: bytes) -> None:
    with pytest.raises(RejectedOrders):
        read(payload)


def test_a_list_older_than_the_known_one_is_rejected_and_the_same_is_not() -> None:
    known = read(signed(a_body(version=5)))
    assert read(signed(a_body(version=5)), known) == known
    assert read(signed(a_body(version=6, orders=[])), known).orders == ()
    with pytest.raises(RejectedOrders, match="older"):
        read(signed(a_body(version=4)), known)
    with pytest.raises(RejectedOrders, match="another list of version 5"):
        read(signed(a_body(version=5, orders=[])), known)


def test_a_key_that_is_none_is_said() -> None:
    raw = KEY.public_key().public_bytes_raw()
    assert public_key_from(base64.b64encode(raw).decode()).public_bytes_raw() == raw
    for text in ("", "abc", "not base64 at all", base64.b64encode(raw[:31]).decode()):
        with pytest.raises(BadDocument):
            public_key_from(text)
