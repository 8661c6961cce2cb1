"""The catalogue of what can go wrong or be made to look right.

What each does is `edge.simulator.faults`, what must be found of it `edge.simulator.expected`, what it comes to in hours
`edge.simulator.truth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from plant.channels import POLLUTANTS

Stage = Literal["plant", "gas", "sample", "analyser", "claims", "frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """What a fault is, what its `amount` means, and what it moves."""

    says: str
    stage: Stage
    channels: tuple[str, ...] = ()  #: what `channel` may be; empty: it has none
    amount: str = ""  #: name of the amount in a scenario; empty: it has none
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    whole_works: bool = False
    of_another: bool = False  #: it needs another stack of the works, its `source`
    abated: tuple[str, ...] = ()  #: what the source behind the stack must take out of its gas
    any_abatement: bool = False  #: it must take out something


_MEASURED: Final = (*POLLUTANTS, "o2", "moisture", "temperature", "pressure", "velocity")

CATALOGUE: Final[Mapping[str, FaultKind]] = {
    "abatement_loss": FaultKind(
        says="the abatement of one pollutant takes out less",
        stage="gas",
        channels=POLLUTANTS,
        amount="efficiency",
        default=0.5,
    ),
    "bag_leak": FaultKind(
        says="bags are torn and a part of the gas passes unfiltered",
        stage="gas",
        amount="leak",
        low=1e-6,
        default=0.006,
        abated=("pm",),
    ),
    "scr_trip": FaultKind(says="the ammonia of the SCR is shut off", stage="gas", abated=("nox",)),
    "reagent_out": FaultKind(
        says="the desulphurisation uses up its reagent within two hours and has no more",
        stage="gas",
        amount="efficiency",
        default=0.6,
        abated=("so2",),
    ),
    "bypass": FaultKind(
        says="a damper lets a part of the gas around the abatement",
        any_abatement=True,
        stage="gas",
        amount="share",
        low=1e-4,
        default=0.15,
    ),
    "abatement_off": FaultKind(
        says="production goes on with the abatement switched off", stage="gas", any_abatement=True
    ),
    "abatement_throttled": FaultKind(
        says="fans and pumps of the abatement are turned down to save power",
        any_abatement=True,
        stage="gas",
        amount="share",
        low=0.01,
        high=0.99,
        default=0.5,
    ),
    "air_ingress": FaultKind(
        says="air leaks into the duct before the analyser: every pollutant falls, oxygen rises",
        stage="gas",
        amount="air",
        low=0.01,
        high=10.0,
        default=0.8,
    ),
    "suspended_but_running": FaultKind(
        says="the plant reports its units stopped, and ignores orders, while they run", stage="plant"
    ),
    "night_furnace": FaultKind(
        says="an induction furnace behind the same meter melts in batches, for the first 8 of each 24 hours",
        stage="plant",
        amount="share",
        low=0.1,
        high=10.0,
        default=1.2,
    ),
    "diluted_sample": FaultKind(
        says="air is let into the sample line: the analyser sees less than the stack has",
        stage="sample",
        amount="air",
        low=0.01,
        high=0.95,
        default=0.4,
    ),
    "drift": FaultKind(
        says="the analyser loses sensitivity by and by, up to the share given",
        stage="analyser",
        channels=POLLUTANTS,
        amount="share",
        low=0.01,
        high=0.99,
        default=0.5,
    ),
    "zero_shift": FaultKind(
        says="the zero of the analyser lies too low, by a share of its range",
        stage="analyser",
        channels=(*POLLUTANTS, "o2"),
        amount="share",
        low=0.001,
        high=0.5,
        default=0.3,
    ),
    "frozen": FaultKind(says="the analyser shows its last value for ever", stage="analyser", channels=_MEASURED),
    "clipped_range": FaultKind(
        says="the range is set so low that the value is cut off, while the gas is twice as bad as usual",
        stage="analyser",
        channels=POLLUTANTS,
        amount="at",
        low=1e-3,
        high=1e6,
        default=30.0,
    ),
    "rescaled": FaultKind(
        says="the slope of the analyser is set lower from one minute to the next, by the share given",
        stage="analyser",
        channels=POLLUTANTS,
        amount="share",
        low=0.01,
        high=0.99,
        default=0.4,
    ),
    "copied_values": FaultKind(
        says="the values of another stack of the works are sent as its own",
        stage="analyser",
        channels=_MEASURED,
        of_another=True,
    ),
    "hugging": FaultKind(
        says="software presses the value to just below what is allowed, while the gas is much worse",
        stage="analyser",
        channels=POLLUTANTS,
        amount="at",
        low=1e-3,
        high=1e6,
        default=30.0,
    ),
    "oxygen_pressed": FaultKind(
        says="software presses oxygen to a level at which the correction flatters",
        stage="analyser",
        channels=("o2",),
        amount="at",
        low=0.5,
        high=20.0,
        default=14.5,
    ),
    "lying_flags": FaultKind(
        says="bursts of a pollutant, each flagged as maintenance while it lasts",
        stage="claims",
        channels=POLLUTANTS,
        amount="times",
        low=1.1,
        high=100.0,
        default=4.0,
    ),
    "calibration_missed": FaultKind(says="the daily calibration is left out", stage="claims"),
    "clock_step": FaultKind(
        says="the clock of the logger is set wrong, and back at the end",
        stage="frames",
        amount="offset_s",
        low=-86_400,
        high=86_400,
        default=600.0,
    ),
    "gateway_offline": FaultKind(
        says="the gateway keeps its rows and sends them when it is back", stage="frames", whole_works=True
    ),
    "rows_lost": FaultKind(says="the logger takes no rows, and none come later", stage="frames"),
    "duplicate_frames": FaultKind(says="every frame is sent twice", stage="frames", whole_works=True),
    "reordered_frames": FaultKind(
        says="frames are gathered for ten minutes and sent in any order", stage="frames", whole_works=True
    ),
}
