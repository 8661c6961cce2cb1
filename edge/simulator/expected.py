"""Which alerts each kind of fault must cause, by the name of the rule (docs/rules.md).

What is decided by figures (an hour above its limit) is asked of the figures: see `edge.simulator.truth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a fault must cause, and what it may: no alert of either is a false one."""

    must: tuple[str, ...] = ()
    by_clock: tuple[str, ...] = ()  #: must, where the works is played by the clock and not as fast as receipts come
    may: tuple[str, ...] = ()


#: Where an hour is above its limit in the rows. Added to what the kind of the fault says.
ABOVE: Final = Expected(
    must=("hour_above_limit",),
    may=("irrecoverable_hour", "keep_below", "budget", "month_below_share", "out_of_range"),
)

EXPECTED: Final[Mapping[str, Expected]] = {
    "abatement_loss": Expected(may=("step", "hugging_the_limit", "permit_tonnage")),
    "bag_leak": Expected(may=("step", "hugging_the_limit")),
    "scr_trip": Expected(may=("step", "permit_tonnage")),
    "reagent_out": Expected(may=("step", "permit_tonnage")),
    "bypass": Expected(may=("step", "abatement_power_low", "permit_tonnage")),
    "abatement_off": Expected(
        must=("production_without_abatement",), may=("step", "abatement_power_low", "out_of_range")
    ),
    "abatement_throttled": Expected(must=("abatement_power_low",), may=("step", "permit_tonnage")),
    "air_ingress": Expected(must=("dilution",), may=("oxygen_high", "step")),
    "suspended_but_running": Expected(must=("stopped_but_breathing",), may=("ordered_state_left",)),
    "night_furnace": Expected(must=("power_swings",)),
    "diluted_sample": Expected(must=("dilution",), may=("oxygen_high", "step")),
    "drift": Expected(may=("parameter_changed", "comparison_overdue")),
    "zero_shift": Expected(must=("negative",), may=("step", "parameter_changed", "oxygen_high")),
    "frozen": Expected(must=("constant",), may=("oxygen_high", "hugging_the_limit")),
    "clipped_range": Expected(must=("constant",), may=("parameter_changed", "hugging_the_limit", "step")),
    "rescaled": Expected(must=("step",), may=("parameter_changed", "hugging_the_limit")),
    "copied_values": Expected(must=("sibling_identity",), may=("step",)),
    "hugging": Expected(must=("hugging_the_limit",), may=("step", "parameter_changed")),
    "oxygen_pressed": Expected(must=("oxygen_high",), may=("constant", "step", "parameter_changed")),
    "lying_flags": Expected(must=("claims_follow_values",), may=("step", "data_missing", "out_of_range")),
    "calibration_missed": Expected(must=("calibration_overdue",)),
    "clock_step": Expected(must=("conflicts",), by_clock=("clock_skew",), may=("data_missing",)),
    "gateway_offline": Expected(by_clock=("edge_offline",), may=("data_missing", "edge_backlog")),
    "rows_lost": Expected(must=("data_missing",)),
    "duplicate_frames": Expected(),
    "reordered_frames": Expected(may=("edge_backlog",)),
}

SHORTEST_H: Final[Mapping[str, float]] = {
    "constant": 4.0,
    "calibration_overdue": 48.0,
    "claims_follow_values": 24.0,
    "hugging_the_limit": 72.0,
    "oxygen_high": 5.0,
    "power_swings": 4.0,
    "sibling_identity": 1.0,
}
"""A fault that lasts less need not be found by the rule. 4 h and 72 h as in section 8.3 of the regulation sheet;
a day's calibration must have failed to come; a habit shows in a day; flat oxygen, surges and equal values have to fill
4 whole hours, 3 and half of one [D]."""


def expected_of(kind: str, hours: float, *, above: bool) -> Expected:
    """What a fault of *kind* that lasts *hours* causes; *above*: its rows make an hour above its limit."""
    found = EXPECTED[kind]
    late = tuple(rule for rule in found.must if hours < SHORTEST_H.get(rule, 0.0))
    figures = ABOVE if above else Expected()
    return Expected(
        must=tuple(rule for rule in found.must if rule not in late) + figures.must,
        by_clock=found.by_clock,
        may=found.may + late + figures.may,
    )
