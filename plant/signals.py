"""Signals that have a meaning here: process values of a source, and parameters of its instruments.

Any other signal is kept and shown; no rule reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PRODUCTION_KW: Final = "power_production_kw"
ABATEMENT_KW: Final = "power_abatement_kw"
LOAD_PCT: Final = "load_pct"
"""These three stand for the channels of the same name: of several units the load is the mean, power the sum."""

BYPASSES: Final = ("bypass_open_pct", "g116", "g307")
"""Position of a bypass damper: as a person names it, and as HJ 212 does (sheet, 4.9: g116 of a desulphurisation, an
angle; g307 of an SCR)."""

PROCESS_VALUES: Final = (PRODUCTION_KW, ABATEMENT_KW, LOAD_PCT, *BYPASSES)

PARAMETERS: Final[Mapping[str, str]] = {"i13001": "range", "i13007": "intercept", "i13008": "slope"}
"""Field information of HJ 212 by code (sheet, 4.9, V-P S01); its signal is named code-pollutant."""


def is_read(signal: str) -> bool:
    """Whether any rule reads the signal of this name."""
    return signal in PROCESS_VALUES or signal.partition("-")[0] in PARAMETERS
