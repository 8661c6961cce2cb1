from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from alerts.notify.sealing import load_seal
from stackwatch.local import keys


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "database.password"
    first = keys.password(file)
    assert len(first) >= 24
    assert keys.password(file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_folders_have_different_passwords(tmp_path: Path) -> None:
    assert keys.password(tmp_path / "a") != keys.password(tmp_path / "b")


def test_a_new_site_changes_no_password_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "mqtt.json"
    before = keys.passwords(file, ["a", "b"])
    after = keys.passwords(file, ["b", "c"])
    assert after["b"] == before["b"]
    assert set(after) == {"b", "c"}
    assert keys.passwords(file, ["a"])["a"] == before["a"]


def test_the_order_key_signs_what_its_public_half_checks(tmp_path: Path) -> None:
    file = keys.order_key(tmp_path / "order.pem")
    private = load_pem_private_key(file.read_bytes(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys.public_half(file)))
    public.verify(private.sign(b"list of orders"), b"list of orders")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_order_key_is_kept_across_restarts(tmp_path: Path) -> None:
    first = keys.order_key(tmp_path / "order.pem").read_bytes()
    assert keys.order_key(tmp_path / "order.pem").read_bytes() == first


def test_a_spoilt_order_key_is_named_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "order.pem"
    file.write_text("nonsense")
    keys.order_key(file)
    with pytest.raises(keys.KeyUnusable, match=r"order\.pem"):
        keys.public_half(file)
    assert file.read_text() == "nonsense"


def test_the_key_that_seals_secrets_is_made_once_kept_and_private(tmp_path: Path) -> None:
    file = keys.secrets_key(tmp_path / "secrets.key")
    first = file.read_text()
    assert keys.secrets_key(file).read_text() == first
    assert load_seal(str(file)).open(load_seal(str(file)).close({"n": 1})) == {"n": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
