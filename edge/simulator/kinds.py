"""The sources an imaginary works may have: what each burns, makes and takes out at rated load.

Figures are invented and plausible [D], chosen so that a stack stays well below the ultra-low limits of its outlet
while everything works; they are no data of any plant. What they do in time is `edge.simulator.cycles`, the
equations are `edge.simulator.gas`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from plant.register import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of source behind one stack, at rated load and rated size."""

    outlet: str  #: key in the rule packs
    unit: str  #: what its unit is called in the register
    safe_modes: tuple[str, ...] = ("stop", "max_load")
    flow: float  #: dry, standard state [m3/h]
    o2: float | None  #: dry [vol %]; None: it moves air, and none is measured
    o2_at_no_load: float = 0.0  #: how far oxygen rises as load goes to nothing, where air follows fuel [vol %]
    suction: bool = False  #: a fan draws the same flow whatever burns
    sulphur: float = 0.0  #: into the gas [kg/h of S]
    nox: float = 0.0  #: as NO2, made [kg/h]
    pm: float  #: made [kg/h]
    takes_so2: float = 0.0  #: share that the desulphurisation takes out
    takes_nox: float = 0.0  #: share that the SCR takes out
    takes_pm: float = 0.0  #: share that the filter takes out
    moisture: float  #: of the wet gas [vol %]
    temperature: float  #: at the sampling plane [degC]
    draught: float  #: static pressure below the barometer's at rated flow [Pa]
    load: float = 92.0  #: of rated, on an ordinary day [%]
    production_kw: float
    abatement_kw: float

    @property
    def product_gas(self) -> float:
        """What is in the dry flow beside air: 20.9 - O2 of 20.9 parts. [m3/h]"""
        return 0.0 if self.o2 is None else self.flow * (1 - self.o2 / AIR_O2)

    @property
    def pollutants(self) -> tuple[str, ...]:
        made = {"pm": self.pm, "so2": self.sulphur, "nox": self.nox}
        return tuple(name for name, kg_h in made.items() if kg_h > 0)

    def takes(self, pollutant: str) -> float:
        """The share of it that its abatement takes out."""
        return float(getattr(self, f"takes_{pollutant}"))


AIR_O2: Final = 20.9  #: dry air [vol %]

KINDS: Final[Mapping[str, Kind]] = {
    # 450 t/h of sinter with 0.07 % S into the gas; semi-dry desulphurisation, SCR, bag house.
    "sinter_strand": Kind(
        outlet="sinter_head",
        unit="sinter_strand",
        flow=1_050_000.0,
        o2=15.8,
        suction=True,
        sulphur=315.0,
        nox=252.0,
        pm=3150.0,
        takes_so2=0.965,
        takes_nox=0.86,
        takes_pm=0.9985,
        moisture=9.5,
        temperature=128.0,
        draught=320.0,
        production_kw=14_500.0,
        abatement_kw=5_200.0,
    ),
    # Underfired with mixed gas, reversed every 20 minutes; desulphurisation, low-temperature SCR, bag house.
    "coke_battery": Kind(
        outlet="coke_chimney",
        unit="coke_battery",
        safe_modes=("hot_idle", "min_coking_time"),
        flow=310_000.0,
        o2=8.5,
        o2_at_no_load=4.0,
        sulphur=38.75,
        nox=155.0,
        pm=37.2,
        takes_so2=0.94,
        takes_nox=0.8,
        takes_pm=0.96,
        moisture=11.0,
        temperature=182.0,
        draught=240.0,
        load=95.0,
        production_kw=2_100.0,
        abatement_kw=1_450.0,
    ),
    # Three stoves on blast-furnace gas, two of them on gas at a time; no abatement of their own.
    "hot_stove": Kind(
        outlet="hot_blast_stove",
        unit="hot_stove",
        safe_modes=("stop",),
        flow=420_000.0,
        o2=4.0,
        o2_at_no_load=3.0,
        sulphur=5.04,
        nox=35.7,
        pm=1.764,
        moisture=7.5,
        temperature=165.0,
        draught=180.0,
        load=90.0,
        production_kw=1_300.0,
        abatement_kw=0.0,
    ),
    # Walking beam furnace on mixed gas with low-NOx burners; no abatement of its own.
    "reheating_furnace": Kind(
        outlet="heat_treat_furnace",
        unit="reheating_furnace",
        flow=90_000.0,
        o2=6.0,
        o2_at_no_load=5.0,
        sulphur=1.26,
        nox=9.9,
        pm=0.27,
        moisture=12.0,
        temperature=210.0,
        draught=60.0,
        load=85.0,
        production_kw=950.0,
        abatement_kw=0.0,
    ),
    # Combined cycle on blast-furnace and coke-oven gas with an SCR in the boiler.
    "gas_turbine": Kind(
        outlet="gas_turbine",
        unit="gas_turbine",
        flow=700_000.0,
        o2=14.5,
        o2_at_no_load=3.0,
        sulphur=2.8,
        nox=42.0,
        pm=0.84,
        takes_nox=0.6,
        moisture=8.0,
        temperature=98.0,
        draught=40.0,
        load=95.0,
        production_kw=1_800.0,
        abatement_kw=160.0,
    ),
    # 350 MW class, 130 t/h of coal with 0.76 % S; SCR, bag house, limestone and gypsum.
    "coal_boiler": Kind(
        outlet="coal_boiler",
        unit="coal_boiler",
        flow=1_100_000.0,
        o2=5.5,
        o2_at_no_load=3.5,
        sulphur=990.0,
        nox=330.0,
        pm=27_500.0,
        takes_so2=0.988,
        takes_nox=0.89,
        takes_pm=0.99982,
        moisture=12.5,
        temperature=52.0,
        draught=150.0,
        load=95.0,
        production_kw=11_000.0,
        abatement_kw=6_400.0,
    ),
    # Hoods over converters, casthouses, bunkers: dusty air through a bag house, in heats of 40 minutes.
    "dust_collector": Kind(
        outlet="bof_secondary",
        unit="converter",
        flow=400_000.0,
        o2=None,
        pm=1000.0,
        takes_pm=0.998,
        suction=True,
        moisture=2.0,
        temperature=62.0,
        draught=90.0,
        production_kw=1_500.0,
        abatement_kw=1_600.0,
    ),
}


def measured_by(stack: Stack, kind: Kind) -> frozenset[str]:
    """The channels that have an analyser at *stack*."""
    gases = set(kind.pollutants)
    if "nox" in gases and stack.nox_from != "nox":
        gases = gases - {"nox"} | {"no", "no2"}
    return frozenset(gases | {"moisture", "temperature", "pressure", "velocity"} | ({"o2"} if kind.o2 else set()))
