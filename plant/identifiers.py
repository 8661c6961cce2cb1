"""What a site, a stack, a unit, an edge and a session may be called (contract, head)."""

from __future__ import annotations

import re
from typing import Final

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_identifier(text: object) -> bool:
    """Whether *text* is a name that may stand in a topic, a path and a key."""
    return isinstance(text, str) and IDENTIFIER.fullmatch(text) is not None
