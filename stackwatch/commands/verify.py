"""`verify`: check an exported alert or case without a network, a database or a clock."""

from __future__ import annotations

import hashlib
import json
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
        If *file* cannot be read, or is no JSON.
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
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadDocument(str(file), [Fault("", f"is no JSON: {error}")]) from error


def _say(file: Path, digest: str, checks: list[Check], *, holds: bool) -> None:
    redone = [check for check in checks if check.holds]
    faults = [check for check in checks if check.holds is False]
    for check in redone:
        print(f"ok       {check}")
    for check in checks:
        if check.holds is None:
            print(f"open     {check}")
    for check in faults:
        print(f"WRONG    {check}")
    print(f"sha256 of the file: {digest}")
    left = sum(check.holds is None for check in checks)
    counted = f"redone and right: {len(redone)}, wrong: {len(faults)}, left open: {left}"
    print(f"{file.name} {'holds' if holds else 'DOES NOT HOLD'}; {counted}.")


def _document(file: Path, digest: str, checks: list[Check], *, holds: bool) -> dict[str, Any]:
    return {
        "file": str(file),
        "sha256": digest,
        "holds": holds,
        "checks": [{"what": check.what, "holds": check.holds, "said": check.said} for check in checks],
    }
