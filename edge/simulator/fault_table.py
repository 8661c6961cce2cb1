"""Reading what befalls a stack, as a scenario writes it or as it is injected: all but when."""

from __future__ import annotations

from collections.abc import Sequence

from edge.simulator.catalogue import CATALOGUE
from edge.simulator.faults import Fault, impossible
from edge.simulator.kinds import KINDS, measured_by
from edge.simulator.works import StackPlan
from plant.reading import Reader


def read_fault(table: Reader, plans: Sequence[StackPlan]) -> Fault:
    """The fault in *table*, one instant long; what is wrong with it is noted in the table."""
    kind = table.one_of("kind", CATALOGUE)
    what = CATALOGUE[kind]
    by_code = {plan.stack.code: plan for plan in plans}
    fault = Fault(
        id="",
        kind=kind,
        stack="" if what.whole_works else table.one_of("stack", by_code or ("?",)),
        since_ms=0,
        until_ms=1,
        channel=table.text("channel", "") if what.channels else "",
        source=table.one_of("source", by_code or ("?",)) if what.of_another else "",
        amount=table.number(what.amount, what.default, low=what.low, high=what.high) if what.amount else 0.0,
    )
    if fault.stack in by_code:
        plan = by_code[fault.stack]
        why = impossible(fault, plan.stack, KINDS[plan.kind])
        if why:
            table.fault("", why)
        elif fault.source in by_code:
            _check_source(table, fault, by_code[fault.source])
    return fault


def _check_source(table: Reader, fault: Fault, plan: StackPlan) -> None:
    if fault.source == fault.stack:
        table.fault("source", "must be another stack")
    elif fault.channel not in measured_by(plan.stack, KINDS[plan.kind]):
        table.fault("source", f"{fault.channel} has no analyser of its own at {fault.source}")
