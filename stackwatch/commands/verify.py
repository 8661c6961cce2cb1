"""`verify`: check an exported alert or case without a network, a database or a clock."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alerts.evidence.checks import Check
from alerts.evidence.files import check_file
from plant.errors import BadDocument, Fault
from stackwatch.running import FAILED


def verify(file: Path, *, key: str | None, as_json: bool) -> int:
    """Print what holds and what does not; the exit code.

    Raises
    ------
    BadDocument
        If *file* cannot be read, or is no JSON of one meaning.
    """
    content = _read(file)
    checks = check_file(_parsed(content, file), public_key=key)
    holds = all(check.holds is not False for check in checks)
    digest = hashlib.sha256(content).hexdigest()
    if as_json:
        print(json.dumps(_document(file, digest, checks, holds=holds), ensure_ascii=False))
    else:
        _say(file, digest, checks, holds=holds)
    return 0 if holds else FAILED


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadDocument(str(file), [Fault("", f"cannot be read: {error.strerror}")]) from error


def _parsed(content: bytes, file: Path) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadDocument(str(file), [Fault("", f"is no JSON: {error}")]) from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that stands twice one reader takes the first, the next one the last; what is sealed is one of them."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _say(file: Path, digest: str, checks: list[Check], *, holds: bool) -> None:
    redone = [check for check in checks if check.holds]
    faults = [check for check in checks if check.holds is False]
    for check in redone:
        print(f"ok       {_visible(str(check))}")
    for check in checks:
        if check.holds is None:
            print(f"open     {_visible(str(check))}")
    for check in faults:
        print(f"WRONG    {_visible(str(check))}")
    print(f"sha256 of the file: {digest}")
    left = sum(check.holds is None for check in checks)
    said = "DOES NOT HOLD" if not holds else "holds as far as it was redone" if left else "holds"
    print(f"{file.name} {said}; redone and right: {len(redone)}, wrong: {len(faults)}, left open: {left}.")


def _visible(text: str) -> str:
    """*text* of a file by who knows whom: nothing in it moves the cursor, hides a line or is half a character."""
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else ascii(char)[1:-1] for char in text
    )


def _document(file: Path, digest: str, checks: list[Check], *, holds: bool) -> dict[str, Any]:
    return {
        "file": str(file),
        "sha256": digest,
        "holds": holds,
        "checks": [
            {"what": _visible(check.what), "holds": check.holds, "said": _visible(check.said)} for check in checks
        ],
    }
