"""SM4 of HJ 212-2025: ECB over the data area in whole blocks, the rest stays as it is (secondary sources and the
example of appendix A.2; regulation notes, 4.10).

The area is written `{0xE4,0x3E,...}`, one item a byte; length and check value of a packet are those of its plain text.
"""

from __future__ import annotations

import re
from typing import Final

BLOCK: Final = 16
KEY_BYTES: Final = 16
_BYTE: Final = re.compile(rb"0[xX]([0-9A-Fa-f]{1,2})")


def looks_enciphered(area: bytes) -> bool:
    return area.lstrip().startswith((b"{0x", b"{0X"))


def read_bytes(area: bytes) -> bytes | None:
    """The bytes that *area* writes out; None where it is not written as it should be."""
    written = b"".join(area.split())
    if not (written.startswith(b"{") and written.endswith(b"}")):
        return None
    items = [_BYTE.fullmatch(item) for item in written[1:-1].rstrip(b",").split(b",")]
    return bytes(int(item[1], 16) for item in items if item) if all(items) else None


def write_bytes(enciphered: bytes) -> bytes:
    return b"{" + b",".join(b"0x%02X" % byte for byte in enciphered) + b"}"


def encipher(plain: bytes, key: bytes) -> bytes:
    """*plain* under *key* (16 bytes), as many bytes as it has."""
    return _blocks(plain, key, decrypt=False)


def decipher(enciphered: bytes, key: bytes) -> bytes:
    return _blocks(enciphered, key, decrypt=True)


def _blocks(data: bytes, key: bytes, *, decrypt: bool) -> bytes:
    # Imported here: an agent whose loggers send plain text need not hold it in memory.
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import SM4
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    if len(key) != KEY_BYTES:
        raise ValueError(f"an SM4 key has {KEY_BYTES} bytes, not {len(key)}")
    cipher = Cipher(SM4(key), ECB())  # the standard's mode; what it hides is bounded by that
    context = cipher.decryptor() if decrypt else cipher.encryptor()
    whole = len(data) - len(data) % BLOCK
    return context.update(data[:whole]) + context.finalize() + data[whole:]
