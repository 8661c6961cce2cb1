"""The seal of an exported file: a digest of all that it says, signed where the installation signs.

The digest is SHA-256 over the canonical JSON (`alerts.enforcement.chain.canonical`) of everything but the seal. It is
what an outside anchor (a time stamp authority, a register of another office) is to hold: against who may write the file
and the seal anew, only that helps. The signature says which installation wrote it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from alerts.enforcement.chain import canonical
from alerts.evidence.checks import Check, found, not_redone

SEAL: Final = "seal"
_PURPOSE: Final = "stackwatch export "  # so that no signature of a list of orders is one of a file, or the other way


class Signing(Protocol):
    """`alerts.enforcement.signing.Signer`, as far as it is needed here."""

    @property
    def key_id(self) -> str: ...
    @property
    def public_key_b64(self) -> str: ...
    def sign(self, body: str) -> Mapping[str, str]: ...


def digest_of(document: Mapping[str, Any]) -> str:
    """Hexadecimal SHA-256 of *document* without its seal."""
    text = canonical({name: value for name, value in document.items() if name != SEAL})
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(document: Mapping[str, Any], signer: Signing | None) -> dict[str, Any]:
    """*document* with its seal."""
    digest = digest_of(document)
    seal: dict[str, Any] = {"sha256": digest, "key_id": None, "public_key": None, "signature": None}
    if signer is not None:
        signature = signer.sign(_PURPOSE + digest)["signature"]
        seal |= {"key_id": signer.key_id, "public_key": signer.public_key_b64, "signature": signature}
    return {**document, SEAL: seal}


def check_seal(document: Mapping[str, Any], *, public_key: str | None) -> Iterator[Check]:
    """*public_key*: of the installation, base64, as its owner gave it out; without, only the digest is certain."""
    seal = document.get(SEAL)
    if not isinstance(seal, Mapping):
        yield found("seal", "the file has none: anybody may have changed it")
        return
    digest = digest_of(document)
    if seal.get("sha256") != digest:
        yield found("seal", f"the file says {seal.get('sha256')}, its text gives {digest}: it was changed since")
    else:
        yield Check("seal", True, f"sha256 {digest}, as the text gives")
    yield _signature(seal, public_key)


def _signature(seal: Mapping[str, Any], public_key: str | None) -> Check:
    if seal.get("signature") is None:
        return (
            found("signature", "there is none, and a key was given")
            if public_key
            else not_redone("signature", "there is none: the installation signs nothing, or it was taken off")
        )
    if public_key is not None and public_key != seal.get("public_key"):
        return found("signature", f"it was made by the key {seal.get('key_id')}, which is not the one that was given")
    if not _verifies(seal):
        return found("signature", f"it is none by the key {seal.get('key_id')}")
    if public_key is None:
        return not_redone("signature", f"whole, by the key {seal.get('key_id')} in the file; --key says whose it is")
    return Check("signature", True, f"by the key {seal.get('key_id')}")


def _verifies(seal: Mapping[str, Any]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = base64.b64decode(str(seal.get("public_key")), validate=True)
        signature = base64.b64decode(str(seal["signature"]), validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, (_PURPOSE + str(seal.get("sha256"))).encode())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return hashlib.sha256(raw).hexdigest()[:16] == seal.get("key_id")
