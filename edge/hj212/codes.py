"""The codes of pollutants and of what goes with them (4.9): which channel of ours each is, and its unit there and here.

A code that is not in the table is no fault. Which stack a value belongs to, and where a site differs from the standard,
is `edge.hj212.loggers`' business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from edge.units import Unit


@dataclass(frozen=True, slots=True)
class Scale:
    """`(value - zero) * times / by`, in decimals and rounded once, at the end."""

    times: Decimal = Decimal(1)
    by: Decimal = Decimal(1)
    zero: Decimal = Decimal(0)

    @classmethod
    def of(cls, unit: Unit) -> Scale:
        return cls(Decimal(repr(unit.times)), Decimal(repr(unit.by)), Decimal(repr(unit.zero)))

    def apply(self, number: str) -> float:
        """*number*, as it is written, in our unit."""
        if self is AS_IT_IS:
            return float(number)
        return float((Decimal(number) - self.zero) * self.times / self.by)

    def back(self, value: float) -> Decimal:
        """*value* of ours in the unit of the standard."""
        return Decimal(repr(value)) * self.by / self.times + self.zero


AS_IT_IS: Final = Scale()
_THOUSAND: Final = Scale(Decimal(1000))
_PER_HOUR: Final = Scale(Decimal(3600))
_GRAMS: Final = Scale(by=Decimal(1000))


@dataclass(frozen=True, slots=True)
class Code:
    """One row of table 4.9. `amount`: of -Cou to kg, or m3 of the flow; None where nothing is accumulated."""

    title: str
    old: str | None  #: of HJ/T 212-2005
    channel: str
    unit: str  #: that the standard gives it
    decimals: int  #: of the type in the table: N5.2 has 2
    scale: Scale = AS_IT_IS
    amount: Scale | None = None

    def written(self, value: float) -> str:
        """*value* of our channel as it is sent: in the unit of the standard, rounded half to even (2025)."""
        number = self.scale.back(value).quantize(Decimal(1).scaleb(-self.decimals), ROUND_HALF_EVEN)
        return f"{abs(number) if number == 0 else number:f}"


def _pollutant(title: str, old: str | None, channel: str, decimals: int) -> Code:
    return Code(title, old, channel, "mg/m3", decimals, AS_IT_IS, AS_IT_IS)


CODES: Final[Mapping[str, Code]] = {
    "a00000": Code("exhaust flow", "B02", "flow", "m3/s", 1, _PER_HOUR, AS_IT_IS),
    "a01011": Code("velocity", "S02", "velocity", "m/s", 2),
    "a01012": Code("temperature", "S03", "temperature", "degC", 1),
    "a01013": Code("static pressure", "S08", "pressure", "kPa", 3, _THOUSAND),
    "a01014": Code("humidity", "S05", "moisture", "%", 1),
    "a01015": Code("cooler temperature", "S06", "a01015", "degC", 1),
    "a01016": Code("duct area", "S07", "a01016", "m2", 2),
    "a01017": Code("dynamic pressure", "S04", "a01017", "kPa", 3),
    "a05001": _pollutant("carbon dioxide", "30", "co2", 3),
    "a19001": Code("oxygen", "S01", "o2", "%", 1),
    "a20057": _pollutant("mercury", "31", "hg", 4),
    # The table prints ng/m3, which looks like a misprint (4.9); its accumulated unit is g.
    "a21001": Code("ammonia", "10", "nh3", "mg/m3", 3, AS_IT_IS, _GRAMS),
    "a21002": _pollutant("nitrogen oxides", "03", "nox", 1),
    "a21003": _pollutant("nitrogen monoxide", None, "no", 1),
    "a21004": _pollutant("nitrogen dioxide", None, "no2", 1),
    "a21005": _pollutant("carbon monoxide", "04", "co", 3),
    "a21018": _pollutant("fluoride", "06", "fluoride", 3),
    "a21024": _pollutant("hydrogen chloride", "08", "hcl", 3),
    "a21026": _pollutant("sulphur dioxide", "02", "so2", 2),
    "a24088": _pollutant("non-methane hydrocarbons", None, "nmhc", 3),
    # The table prints N4; loggers send decimals, and whole mg/m3 would say little about a limit of 10.
    "a34013": _pollutant("particulate matter", "01", "pm", 1),
}
BY_CHANNEL: Final[Mapping[str, str]] = {entry.channel: code for code, entry in CODES.items()}
_OLD: Final = {entry.old: entry for entry in CODES.values() if entry.old is not None}

#: Process (g), field information (i, once printed I), equipment (SB), and the families of 2025 (d, p): signals.
_SIGNAL: Final = re.compile(r"[gdp][0-9]{1,9}|[iI][0-9]{3,9}|SB[0-9]{1,9}")
_LIKE_THE_STANDARD: Final = re.compile(r"[a-z][0-9]{5}")
_TAKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def code_of(name: str) -> Code | None:
    """The entry of a code, new or old; None for one that is not in the table."""
    return CODES.get(name) or _OLD.get(name)


def is_signal(name: str) -> bool:
    return _SIGNAL.fullmatch(name) is not None


def channel_of_unknown(name: str) -> str | None:
    """The channel for a code that is not in the table: its own name where that can be mistaken for nothing of ours.

    None where it cannot be a name.
    """
    if _LIKE_THE_STANDARD.fullmatch(name):
        return name
    return f"hj212_{name}" if _TAKEN.fullmatch(name) else None
