"""From what an analyser shows to mg/m3, dry, at 273.15 K and 101.325 kPa, and to reference oxygen.

Equations of HJ 212-2017 App. D, which quotes HJ/T 75-2007 and HJ/T 76-2007. Arrays of any one shape or
scalars in, the same out; NaN stays NaN.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Quantity = TypeVar("Quantity", float, Values)

MOLAR_VOLUME_L: Final = 22.4  #: at 0 degC and 101.325 kPa, as eq. 20 writes it
MOLAR_MASS_G: Final = {"so2": 64.0, "no": 30.0, "no2": 46.0, "nox": 46.0, "co": 28.0, "nh3": 17.0}
"""[g/mol]; nox is counted as NO2 (eq. 22)."""
STANDARD_PRESSURE_PA: Final = 101_325.0
ZERO_CELSIUS_K: Final = 273.0  #: as eq. 18 writes it
OXYGEN_OF_THE_FORMULA: Final = 21.0  #: eq. 27 and 28 write 21, not 20.9


def ppm_to_mg_m3(value: Quantity, gas: str) -> Quantity:
    """Volume share [ppm] to mass concentration [mg/m3] (eq. 20)."""
    return value * (MOLAR_MASS_G[gas] / MOLAR_VOLUME_L)


def wet_to_dry(value: Quantity, moisture_vol_pct: Quantity) -> Quantity:
    """A wet value to dry gas (eq. 19), oxygen too. `moisture_vol_pct` below 100."""
    return value / (1.0 - moisture_vol_pct / 100.0)


def actual_to_standard(value: Quantity, temperature_c: Quantity, pressure_pa: Quantity, ambient_pa: float) -> Quantity:
    """Actual to standard state (eq. 18). `pressure_pa`: static, signed gauge; `ambient_pa`: barometric. [mg/m3]"""
    return (
        value
        * (STANDARD_PRESSURE_PA / (ambient_pa + pressure_pa))
        * ((ZERO_CELSIUS_K + temperature_c) / ZERO_CELSIUS_K)
    )


def to_reference_oxygen(
    value: Quantity, o2_vol_pct: Quantity, base_o2_vol_pct: float, in_air_vol_pct: float = OXYGEN_OF_THE_FORMULA
) -> Quantity:
    """Dilution-corrected to the base oxygen (eq. 28): C (21 - base) / (21 - O2).

    `in_air_vol_pct`: what another country's formula writes for the 21.

    Meaningless at ambient oxygen; the caller judges that first (contract, section 5: 20.9 and above).

    Examples
    --------
    >>> round(to_reference_oxygen(31.056, 16.522, 16.0), 2)
    34.68
    """
    return value * (in_air_vol_pct - base_o2_vol_pct) / (in_air_vol_pct - o2_vol_pct)


def nox_from_mass(no_mg_m3: Quantity, no2_mg_m3: Quantity) -> Quantity:
    """NOx as NO2 from the two mass concentrations (eq. 21). [mg/m3]"""
    return no_mg_m3 * (MOLAR_MASS_G["no2"] / MOLAR_MASS_G["no"]) + no2_mg_m3


def nox_from_volume(no_ppm: Quantity, no2_ppm: Quantity) -> Quantity:
    """NOx as NO2 from the two volume shares (eq. 22). [ppm] to [mg/m3]"""
    return (no_ppm + no2_ppm) * (MOLAR_MASS_G["no2"] / MOLAR_VOLUME_L)


def excess_air(o2_vol_pct: Quantity) -> Quantity:
    """The excess-air coefficient (eq. 27): 21 / (21 - O2). Meaningless at ambient oxygen."""
    return OXYGEN_OF_THE_FORMULA / (OXYGEN_OF_THE_FORMULA - o2_vol_pct)


def to_reference_excess_air(value: Quantity, measured: Quantity, reference: float) -> Quantity:
    """Converted to the reference excess-air coefficient (eq. 26): C a / a_s; the same as eq. 28 by oxygen."""
    return value * measured / reference


def flow_actual(velocity_m_s: Quantity, area_m2: float) -> Quantity:
    """Hourly flow at actual state, wet (eq. 30), of the mean velocity in the duct (eq. 29). [m3/h]"""
    return 3600.0 * area_m2 * velocity_m_s


def flow_standard_dry(
    actual_m3_h: Quantity,
    temperature_c: Quantity,
    pressure_pa: Quantity,
    ambient_pa: float,
    moisture_vol_pct: Quantity,
) -> Quantity:
    """Hourly flow at standard state, dry (eq. 31). `pressure_pa`: static, signed gauge. [m3/h]"""
    return (
        actual_m3_h
        * (ZERO_CELSIUS_K / (ZERO_CELSIUS_K + temperature_c))
        * ((ambient_pa + pressure_pa) / STANDARD_PRESSURE_PA)
        * (1.0 - moisture_vol_pct / 100.0)
    )


def mass_kg(dry_mg_m3: Quantity, flow_m3_h: Quantity) -> Quantity:
    """Mass of one hour (eq. 33), from the measured dry concentration, never the corrected one. [kg]"""
    return dry_mg_m3 * flow_m3_h * 1e-6
