"""Which limit governs a stack: its own outlet's, or the strictest of all that share it.

A stack shared by units of several processes is held to the strictest of their limits, at that outlet's base oxygen,
unless the permit states one for the mix. [D]
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plant.packs import Limit, Outlet, Pack
from plant.register import Stack


@dataclass(frozen=True, slots=True)
class Governing:
    """The outlet and the limit by which one pollutant of a stack is judged."""

    outlet: Outlet
    limit: Limit


def governing(pack: Pack, stack: Stack) -> dict[str, Governing]:
    """By pollutant, what *pack* says of *stack*; a pollutant that none of its outlets limits is not there."""
    outlets = [pack.outlet(stack.process)]
    outlets += [pack.outlets[name] for name in stack.also_processes if name in pack.outlets]
    found: dict[str, Governing] = {}
    for outlet in outlets:
        for pollutant, limit in outlet.limits.items():
            if pollutant not in found or limit.mg_m3 < found[pollutant].limit.mg_m3:
                found[pollutant] = Governing(outlet, limit)
    for pollutant, mg_m3 in stack.permit_mix_mg_m3.items():
        if pollutant in found:
            mixed = replace(found[pollutant].limit, mg_m3=mg_m3, mark="permit")
            found[pollutant] = Governing(outlets[0], mixed)
    return found
