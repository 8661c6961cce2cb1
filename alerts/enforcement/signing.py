"""Ed25519 signatures over lists of orders: an edge obeys only what this key has signed.

The private key stays in its file and in this process. How it got there, and how the plants got its public
half (`GET /v1/keys`, or by hand), is the operator's business.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from plant.errors import BadDocument, Fault


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs. Its representation shows which key, never the key."""

    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def public_key_b64(self) -> str:
        return base64.b64encode(self.public_key).decode()

    @property
    def key_id(self) -> str:
        """A name for the key: the first 16 hexadecimal digits of the SHA-256 of its public half."""
        return hashlib.sha256(self.public_key).hexdigest()[:16]

    def sign(self, body: str) -> dict[str, str]:
        """The signed list (contract, section 3): the signature is over the bytes of *body*."""
        signature = base64.b64encode(self._private.sign(body.encode())).decode()
        return {"body": body, "key_id": self.key_id, "signature": signature}


def load_signer(path: str | Path) -> Signer:
    """The signer with the private key in the PEM file *path*; `BadDocument` where there is none."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise BadDocument(str(path), [Fault("", f"cannot be read: {error.strerror}")]) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadDocument(str(path), [Fault("", "is no private key in PEM without a passphrase")]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadDocument(str(path), [Fault("", f"is no Ed25519 key but {type(key).__name__}")])
    return Signer(key)
