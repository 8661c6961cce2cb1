"""Signatures of webhooks as the specification Standard Webhooks 1.0.0 has them: symmetric, `v1`.

What is signed is `id.timestamp.body`, the bytes that are sent. While a secret is being changed each request carries
two signatures, and the receiver takes the one it can check. Pure: the time is an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32  #: of one that we make
MIN_BYTES: Final = 24  #: "At least 24 bytes (192 bits, 512 maximum)"
MAX_BYTES: Final = 64
SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-]+")  #: no full stop: it divides what is signed


def secret_from(random_bytes: bytes) -> str:
    """The text of a secret; *random_bytes* come from a source fit for keys."""
    return PREFIX + base64.b64encode(random_bytes).decode("ascii")


def key_of(secret: str) -> bytes:
    """The bytes that sign; `ValueError` says what is wrong with *secret*, never what it is."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"must begin with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64 after {PREFIX}") from None
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(f"must stand for {MIN_BYTES} to {MAX_BYTES} bytes, stands for {len(key)}")
    return key


def headers(message_id: str, body: bytes, secrets: Sequence[str], *, at_s: int) -> dict[str, str]:
    """The three headers of a request that is sent at *at_s*, seconds since the epoch."""
    if not SAFE_ID.fullmatch(message_id):
        raise ValueError("an id of a webhook has letters, digits, _ and - only")
    signed = f"{message_id}.{at_s}.".encode("ascii") + body
    signatures = (hmac.new(key_of(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode('ascii')}" for one in signatures),
    }
