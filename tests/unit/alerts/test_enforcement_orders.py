from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alerts.enforcement.orders import Order, UnitMode, body, safe_mode, suspension
from alerts.enforcement.signing import Signer, load_signer
from plant.errors import BadDocument
from plant.register import Unit

FROM = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def an_order(number: int = 4, effective_from: datetime = FROM) -> Order:
    return suspension(
        case="case-1",
        number=number,
        codes=["K1", "S1"],
        registered={
            "S1": Unit(code="S1", kind="sinter_strand", modes=("stop", "max_load")),
            "K1": Unit(code="K1", kind="coke_battery", modes=("hot_idle", "min_coking_time")),
        },
        basis="Hebei, No. 1, art. 5",
        effective_from=effective_from,
    )


def pem_of(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("unit", "mode", "value"),
    [
        pytest.param(Unit(code="U"), "stop", None, id="stop_is_the_default"),
        pytest.param(Unit(code="U", modes=("max_load", "stop")), "stop", None, id="stop_goes_before_less_load"),
        pytest.param(Unit(code="U", modes=("stop", "hot_idle")), "hot_idle", None, id="hot_idle_goes_before_stop"),
        pytest.param(Unit(code="U", modes=("banked",)), "banked", None, id="the_first_where_stop_is_not_registered"),
        pytest.param(Unit(code="U", modes=("max_load",)), "max_load", 0.0, id="no_load_where_load_is_all_there_is"),
        pytest.param(Unit(code="U", kind="coke_battery"), "hot_idle", None, id="a_coke_battery_is_never_cooled"),
        pytest.param(
            Unit(code="U", kind="coke_battery", modes=("stop",)), "hot_idle", None, id="not_even_if_it_is_registered"
        ),
    ],
)
def test_an_order_asks_for_a_mode_that_keeps_the_unit_whole(unit: Unit, mode: str, value: float | None) -> None:
    assert safe_mode(unit) == UnitMode(unit="U", mode=mode, value=value)


def test_a_suspension_gives_a_day_to_reach_a_safe_state_and_has_no_end() -> None:
    order = an_order()
    assert order.safe_state_by - order.effective_from == timedelta(hours=24)
    assert order.until is None
    assert [(unit.unit, unit.mode) for unit in order.units] == [("K1", "hot_idle"), ("S1", "stop")]
    assert "Hebei, No. 1, art. 5" in order.text
    assert "停产整治" in order.text
    assert "fine" not in order.text.lower()  # regulation 6.6: never called a fine


def test_an_order_has_the_same_id_whenever_the_same_record_gives_it() -> None:
    assert an_order().order_id == an_order(effective_from=FROM + timedelta(days=1)).order_id
    assert an_order(number=4).order_id != an_order(number=8).order_id


def test_a_stack_that_stands_for_a_unit_is_asked_to_stop() -> None:
    order = suspension(case="c", number=1, codes=["DA001"], registered={}, basis="b", effective_from=FROM)
    assert order.units == (UnitMode(unit="DA001", mode="stop"),)


def test_the_list_has_exactly_the_fields_of_the_contract() -> None:
    text = body(site="works", version=7, issued_at=FROM, orders=[an_order()])
    document = json.loads(text)
    assert set(document) == {"site", "version", "issued_at", "orders"}
    assert document["version"] == 7
    (order,) = document["orders"]
    assert set(order) == {
        "order_id",
        "case",
        "order",
        "units",
        "effective_from",
        "safe_state_by",
        "until",
        "basis",
        "text",
    }
    assert order["order"] == "suspend"
    assert order["units"][0] == {"unit": "K1", "mode": "hot_idle", "value": None}
    assert (order["effective_from"], order["safe_state_by"], order["until"]) == (
        "2026-11-21T04:00:00Z",
        "2026-11-22T04:00:00Z",
        None,
    )


def test_a_list_without_orders_says_so() -> None:
    assert body(site="works", version=8, issued_at=FROM, orders=[]) == (
        '{"issued_at":"2026-11-21T04:00:00Z","orders":[],"site":"works","version":8}'
    )


def test_a_list_is_the_same_text_in_whatever_order_the_orders_were_read() -> None:
    one, two = an_order(number=4), an_order(number=8, effective_from=FROM + timedelta(hours=1))
    assert body(site="w", version=1, issued_at=FROM, orders=[one, two]) == body(
        site="w", version=1, issued_at=FROM, orders=[two, one]
    )


def test_a_signature_verifies_with_the_public_half_and_covers_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "order.pem"
    path.write_bytes(pem_of(Ed25519PrivateKey.generate()))
    signer = load_signer(path)
    signed = signer.sign(body(site="works", version=1, issued_at=FROM, orders=[an_order()]))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key_b64))
    signature = base64.b64decode(signed["signature"])
    public.verify(signature, signed["body"].encode())
    with pytest.raises(InvalidSignature):
        public.verify(signature, signed["body"].replace("works", "Works").encode())
    assert set(signed) == {"body", "key_id", "signature"}


def test_the_key_id_is_the_head_of_the_public_keys_hash() -> None:
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert signer.key_id == hashlib.sha256(signer.public_key).hexdigest()[:16]
    # RFC 8032 derives this public key from the seed of 32 zero bytes.
    assert signer.public_key.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"


def test_a_signer_does_not_show_its_key() -> None:
    secret = bytes(range(32))
    assert "Ed25519PrivateKey" not in repr(Signer(Ed25519PrivateKey.from_private_bytes(secret)))


def test_a_key_that_cannot_sign_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="cannot be read: No such file"):
        load_signer(tmp_path / "missing.pem")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no key")
    with pytest.raises(BadDocument, match="is no private key in PEM"):
        load_signer(garbage)
    other = tmp_path / "ec.pem"
    other.write_bytes(pem_of(generate_private_key(SECP256R1())))
    with pytest.raises(BadDocument, match="is no Ed25519 key"):
        load_signer(other)
