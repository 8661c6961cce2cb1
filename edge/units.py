"""Units in which recorded files write what a channel holds: exact factors only, named, and nothing guessed.

    value on the wire = (value in the file - zero) * times / by

What needs more than a factor stays as it is, and the register says so: a share of volume (`ppm`), wet gas, actual
state, reference oxygen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from plant.channels import GASES
from plant.errors import BadDocument, Fault


@dataclass(frozen=True, slots=True)
class Unit:
    times: float = 1.0
    by: float = 1.0
    zero: float = 0.0

    def to_channel(self, value: float) -> float:
        """*value* of the file in the unit of its channel."""
        return (value - self.zero) * self.times / self.by


_CONCENTRATION: Final = {"mg/m3": Unit(), "g/m3": Unit(1_000), "ug/m3": Unit(1, 1_000)}
_SHARE: Final = {"%": Unit(), "fraction": Unit(100)}
_POWER: Final = {"kW": Unit(), "MW": Unit(1_000), "W": Unit(1, 1_000)}
#: One cubic foot is 0.3048^3 m3 = 0.028316846592 m3. `scfh` and `scfm` count cubic feet at 68 degF (293.15 K) and
#: 101.325 kPa: m3 at 273.15 K = m3 at 293.15 K * 273.15 / 293.15. Moisture is not taken out.
_CUBIC_FOOT: Final = 0.028316846592 * 273.15
_FLOW: Final = {
    "m3/h": Unit(),
    "m3/s": Unit(3_600),
    "m3/min": Unit(60),
    "km3/h": Unit(1_000),
    "scfh": Unit(_CUBIC_FOOT, 293.15),
    "scfm": Unit(_CUBIC_FOOT * 60, 293.15),
}
#: Channel -> unit -> how; the first is the channel's own.
UNITS: Final[Mapping[str, Mapping[str, Unit]]] = MappingProxyType(
    {
        **dict.fromkeys((*GASES, "pm"), _CONCENTRATION),
        **dict.fromkeys(("o2", "moisture", "load_pct"), _SHARE),
        **dict.fromkeys(("power_production_kw", "power_abatement_kw"), _POWER),
        "flow": _FLOW,
        "temperature": {"degC": Unit(), "K": Unit(zero=273.15), "degF": Unit(5, 9, zero=32)},
        "pressure": {"Pa": Unit(), "hPa": Unit(100), "mbar": Unit(100), "kPa": Unit(1_000), "bar": Unit(100_000)},
        "velocity": {"m/s": Unit(), "km/h": Unit(1, 3.6), "ft/s": Unit(0.3048), "ft/min": Unit(0.3048, 60)},
    }
)


def unit_of(channel: str, name: str) -> Unit:
    """How *channel* is converted from the unit *name*; `BadDocument` where it is not."""
    known = UNITS.get(channel)
    if known is None:
        fault = f"channel {channel!r} has no unit of ours to convert to"
    elif name == "ppm" and channel in GASES:
        fault = f'ppm stays raw: write channels.{channel}.unit = "ppm" into the register of its stack'
    elif name not in known:
        fault = f"{channel} cannot be given in {name!r}; its units are {', '.join(known)}"
    else:
        return known[name]
    raise BadDocument("arguments", [Fault("unit", fault)])
