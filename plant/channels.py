"""The channels of a measurement, its flags and its source states (contract, section 3)."""

from __future__ import annotations

from typing import Final

POLLUTANTS: Final = ("pm", "so2", "nox")
"""What the packs of this project limit; every other gas is measured and kept."""

CHANNELS: Final = (
    "so2",
    "nox",
    "no",
    "no2",
    "pm",
    "co",
    "nh3",
    "o2",
    "moisture",
    "temperature",
    "pressure",
    "velocity",
    "flow",
    "power_production_kw",
    "power_abatement_kw",
    "load_pct",
)
"""Channels with a column of their own; any other name is kept beside them, never refused."""

GASES: Final = ("so2", "nox", "no", "no2", "co", "nh3")
"""Channels that may be measured as a share of the volume."""

UNITS: Final = {
    **dict.fromkeys(("so2", "nox", "no", "no2", "pm", "co", "nh3"), "mg/m3"),
    "o2": "vol %",
    "moisture": "vol %",
    "temperature": "degC",
    "pressure": "Pa",
    "velocity": "m/s",
    "flow": "m3/h",
    "power_production_kw": "kW",
    "power_abatement_kw": "kW",
    "load_pct": "%",
}
"""What a channel is counted in once it is converted; gases dry, at standard state (contract, section 3)."""

FLAGS: Final = frozenset("NFMSDCTB")
"""HJ 212 table 8: normal, out of operation, maintenance, set by hand, fault, calibration, over range, comms."""

STATES: Final = ("running", "stopped", "starting", "stopping", "banked")
NOT_RUNNING: Final = frozenset({"stopped", "starting", "stopping", "banked"})

CORRECTORS: Final = ("o2", "moisture", "temperature", "pressure")
"""Channels whose flag also holds for what they correct."""
