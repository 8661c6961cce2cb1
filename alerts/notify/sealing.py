"""Secrets of receivers at rest: encrypted with a key that lies in a file and never in the database.

A dump of the database, a backup's table or a replica then gives nobody the right to speak in our name. The file holds
one Fernet key a line: the first one seals, each of them opens, so that a key is changed by putting a new line on top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from plant.errors import BadDocument, Fault, Refused


class Unopenable(Refused):
    """No key at hand opens this. Put back the key that sealed it, or make the receiver anew."""


class Seal:
    """The keys of one installation."""

    def __init__(self, keys: MultiFernet) -> None:
        self._keys = keys

    def close(self, target: Mapping[str, Any]) -> bytes:
        return self._keys.encrypt(json.dumps(dict(target), ensure_ascii=False).encode())

    def open(self, sealed: bytes) -> dict[str, Any]:
        """What was closed; `Unopenable` with another key."""
        try:
            opened: dict[str, Any] = json.loads(self._keys.decrypt(sealed))
        except InvalidToken:
            raise Unopenable("no key of STACKWATCH_SECRETS_KEY_FILE opens this receiver's secrets") from None
        return opened


def new_key() -> str:
    return Fernet.generate_key().decode("ascii")


def load_seal(path: str) -> Seal:
    """The keys in the file at *path*.

    Raises
    ------
    BadDocument
        If it cannot be read, or a line of it is no key. The text says which line, never what stands in it.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(path, [Fault("", f"holds no keys: {type(error).__name__}")]) from None
    keys, faults = [], []
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            try:
                keys.append(Fernet(text))
            except ValueError:
                faults.append(Fault(f"line {number}", "must be 32 bytes in URL-safe base64"))
    if not keys and not faults:
        faults.append(Fault("", "holds no key"))
    if faults:
        raise BadDocument(path, faults)
    return Seal(MultiFernet(keys))
