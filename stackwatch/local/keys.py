"""The secrets of one data folder: made once, kept across restarts, readable by their owner only."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from plant.errors import PlantError
from stackwatch.local.folder import write_private


class KeyUnusable(PlantError):
    """A key file holds something else. Put the right one back; others would not trust a new one."""


def password(path: Path) -> str:
    """The password in *path*, made up if there is none yet."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text(encoding="ascii").strip()


def passwords(path: Path, names: Iterable[str]) -> dict[str, str]:
    """A password for each of *names*; the ones in *path* stay as they are, also those not asked for now."""
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wanted = sorted(set(names))
    if missing := [name for name in wanted if name not in known]:
        known.update({name: secrets.token_urlsafe(24) for name in missing})
        write_private(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return {name: known[name] for name in wanted}


def order_key(path: Path) -> Path:
    """The PEM file of the Ed25519 key that signs lists of orders, made if there is none yet."""
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem.decode("ascii"))
    return path


def secrets_key(path: Path) -> Path:
    """The file of keys that seal the secrets of receivers, made with one key if there is none yet."""
    if not path.exists():
        write_private(path, Fernet.generate_key().decode("ascii") + "\n")
    return path


def public_half(path: Path) -> str:
    """Base64 of the raw public key of the PEM file *path*: what an edge checks orders with."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise KeyUnusable(f"{path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds no Ed25519 key")
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
