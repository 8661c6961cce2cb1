"""What of an alert's evidence grows with its episode: it moves with every hour while that goes on, and is no news."""

from __future__ import annotations

from typing import Final

GROWING: Final = frozenset({"hours_found", "worst", "last", "graver", "severity_since"})
