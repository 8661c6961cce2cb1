"""What a chaos run is asked to do, and what came of it, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from chaos.schedule import BROKERS, FAULTS, Division, Fault, Kind
from services.brokers import NATS, brokers
from services.offers import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run."""

    seed: int
    profile: str = "everything"
    broker: str | None = None  #: None: the seed chooses
    faults: int = FAULTS
    keep: Path | None = None  #: where the logs of a run that failed go

    def broker_kind(self) -> str:
        """The one asked for; else the seed chooses among those that this machine has."""
        return self.broker or Random(f"broker {self.seed}").choice(_brokers_here())

    def division(self) -> Division:
        """As the seed chooses; nats-server speaks no MQTT 5, which has the groups."""
        possible = [one for one in Division if one is not Division.GROUP or self.broker_kind() != NATS]
        return Random(f"division {self.seed}").choice(possible)

    def command(self) -> str:
        """How to do it again."""
        profile = "" if self.profile == "everything" else f" PROFILE={self.profile}"
        faults = "" if self.faults == FAULTS else f" FAULTS={self.faults}"
        return f"make chaos SEED={self.seed}{profile} BROKER={self.broker_kind()}{faults}"


@cache
def _brokers_here() -> tuple[str, ...]:
    offered = brokers(None)
    return tuple(kind for kind in BROKERS if isinstance(offered[kind], Offer))


@dataclass(slots=True)
class Report:
    """What came of a run."""

    plan: Plan
    schedule: tuple[Fault, ...]
    _: KW_ONLY
    left_out: tuple[Kind, ...]  #: what this machine cannot do
    rows: int  #: that were measured
    done: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    seconds: float = 0.0
    rest_s: float = 0.0  #: from the last fault until the system had come to rest
    held_up_s: list[float] = field(default_factory=list)  #: how long the test itself could not run, each time
    faults: list[str] = field(default_factory=list)  #: what does not hold; none: it passed

    def line(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.done.items()))
        word = "FAILED" if self.faults else "passed"
        return (
            f"seed {self.plan.seed} {word}: {self.rows} rows over {self.plan.broker_kind()} ({self.plan.division()}),"
            f" {sum(self.done.values())} faults ({kinds}; {self.repeated} frames said again), {self.seconds:.0f} s,"
            f" {self.rest_s:.0f} s of them to come to rest"
            + (f"; left out: {', '.join(self.left_out)}" if self.left_out else "")
        )

    def story(self) -> str:
        """All of it, for a failure."""
        plan = "\n".join(f"  {fault}" for fault in self.schedule)
        faults = "\n".join(f"- {fault}" for fault in self.faults)
        if self.held_up_s:
            times, longest = len(self.held_up_s), max(self.held_up_s)
            faults += f"\nThe machine: {times} times the test did not run for a second, once for {longest:.0f} s."
        return f"{self.line()}\nAgain: {self.plan.command()}\nThe schedule:\n{plan}\nWhat does not hold:\n{faults}"
