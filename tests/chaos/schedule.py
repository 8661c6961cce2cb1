"""What goes wrong when in one chaos run: a function of the seed, and of nothing else.

Every kind of fault of the profile comes at least once, in a random order, then more of them by weight. Two faults never
hold the same thing at once; faults of different things overlap as they will. Doing what stands here is left to
`chaos.faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

EDGES: Final = ("e1", "e2", "e3", "e4")
INGESTORS: Final = ("i1", "i2")
STAGE: Final = "stage"
API: Final = "api"
READER: Final = "reader"
BROKER: Final = "broker"
DATABASE: Final = "database"
PROCESSES: Final = (*EDGES, *INGESTORS, STAGE, API)
LINKS: Final = (
    *(f"{name}-{BROKER}" for name in (*EDGES, *INGESTORS, STAGE)),
    *(f"{name}-{DATABASE}" for name in (*INGESTORS, STAGE, API)),
    f"{READER}-{API}",
)
DISKS: Final = ("e1", "e2", BROKER, DATABASE)
BROKERS: Final = ("nats", "mosquitto")


class Division(StrEnum):
    """How the ingestors divide the work."""

    ALL = "each takes all"
    GROUP = "one group"
    SITES = "by site"


class Kind(StrEnum):
    """What can be done to the system."""

    KILL = "kill"
    FREEZE = "freeze"
    KILL_BROKER = "kill broker"
    LOSE_BROKER = "kill broker and lose its disk"
    STOP_DATABASE = "stop database at once"
    KILL_DATABASE = "kill database"
    CUT = "cut"
    SILENCE = "silence"
    FORGET = "silence and lose what was said"
    DELAY = "delay"
    REPEAT = "repeat"
    REORDER = "reorder"
    STEP_CLOCK = "step clock"
    BEFORE_ROWS = "clock before the rows"
    FILL_DISK = "fill disk"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins (from the start of the traffic), what it is, and whom it meets."""

    at_s: float
    kind: Kind
    target: str
    for_s: float = 0.0  #: how long it lasts; 0 for what is done in an instant
    amount: float = 0.0  #: milliseconds of delay, seconds of a clock's step, frames that are repeated

    def __str__(self) -> str:
        amount = {
            Kind.DELAY: f" by {self.amount:.0f} ms",
            Kind.STEP_CLOCK: f" by {self.amount:+.0f} s",
            Kind.REPEAT: f" {self.amount:.0f} frames",
            Kind.REORDER: f" {self.amount:.0f} frames",
        }.get(self.kind, "")
        lasts = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:5.1f} s  {self.kind} [{self.target}]{amount}{lasts}"


@dataclass(frozen=True, slots=True)
class _Trait:
    """Whom a kind of fault may meet, and how long it lasts."""

    targets: tuple[str, ...]
    shortest_s: float = 0.0
    longest_s: float = 0.0


_TRAITS: Final[Mapping[Kind, _Trait]] = {
    Kind.KILL: _Trait(PROCESSES, 0.1, 2.0),
    Kind.FREEZE: _Trait((*PROCESSES, BROKER), 0.3, 3.0),
    Kind.KILL_BROKER: _Trait((BROKER,), 0.1, 2.0),
    Kind.LOSE_BROKER: _Trait((BROKER,), 0.1, 2.0),
    Kind.STOP_DATABASE: _Trait((DATABASE,), 0.1, 2.0),
    Kind.KILL_DATABASE: _Trait((DATABASE,), 0.1, 2.0),
    Kind.CUT: _Trait(LINKS, 0.2, 4.0),
    Kind.SILENCE: _Trait(LINKS, 0.5, 4.0),
    Kind.FORGET: _Trait(LINKS, 0.5, 4.0),
    Kind.DELAY: _Trait(LINKS, 1.0, 5.0),
    Kind.REPEAT: _Trait(("frames",)),
    Kind.REORDER: _Trait(("frames",)),
    Kind.STEP_CLOCK: _Trait((*EDGES, *INGESTORS), 1.0, 8.0),
    Kind.BEFORE_ROWS: _Trait(INGESTORS, 1.0, 3.0),
    Kind.FILL_DISK: _Trait(DISKS, 1.0, 4.0),
}

Weights = Mapping[Kind, int]
PROFILES: Final[Mapping[str, Weights]] = {
    "everything": dict.fromkeys(Kind, 1) | {Kind.KILL: 4},
    "kills": dict.fromkeys(
        (Kind.KILL_BROKER, Kind.LOSE_BROKER, Kind.STOP_DATABASE, Kind.KILL_DATABASE, Kind.REPEAT, Kind.FREEZE), 1
    )
    | {Kind.KILL: 6},
    "network": dict.fromkeys((Kind.CUT, Kind.SILENCE, Kind.FORGET, Kind.DELAY, Kind.REPEAT, Kind.REORDER), 2)
    | {Kind.KILL: 1},
    "disks-and-clocks": dict.fromkeys((Kind.FILL_DISK, Kind.STEP_CLOCK, Kind.BEFORE_ROWS), 2) | {Kind.KILL: 1},
}
FAULTS: Final = 24  #: in one run


def schedule(seed: int, weights: Weights, *, faults: int = FAULTS, without: Iterable[Kind] = ()) -> tuple[Fault, ...]:
    """The faults of *seed*, by when they begin. Kinds *without* which it must do are left out, the rest stays."""
    rng = Random(f"schedule {seed}")
    kinds = list(weights)
    rng.shuffle(kinds)
    kinds += rng.choices(list(weights), weights=list(weights.values()), k=max(0, faults - len(kinds)))
    free_at: dict[str, float] = {}
    at_s, found = 0.0, []
    for kind in kinds[:faults]:
        at_s += rng.uniform(0.1, 1.4)
        fault = _fault(kind, at_s, rng)
        begins = max([fault.at_s, *(free_at.get(name, 0.0) for name in held_by(fault))])
        found.append(Fault(round(begins, 3), kind, fault.target, fault.for_s, fault.amount))
        free_at |= dict.fromkeys(held_by(fault), begins + fault.for_s + 0.3)
    left_out = frozenset(without)
    return tuple(sorted((f for f in found if f.kind not in left_out), key=lambda fault: fault.at_s))


def held_by(fault: Fault) -> tuple[str, ...]:
    """What *fault* has to itself while it lasts."""
    if fault.kind in (Kind.STEP_CLOCK, Kind.BEFORE_ROWS):
        return (f"clock of {fault.target}",)
    if fault.kind is Kind.FILL_DISK and fault.target in EDGES:
        return (f"disk of {fault.target}",)
    return (fault.target,)


def _fault(kind: Kind, at_s: float, rng: Random) -> Fault:
    trait = _TRAITS[kind]
    target = rng.choice(trait.targets)
    for_s = round(rng.uniform(trait.shortest_s, trait.longest_s), 3)
    amount = 0.0
    if kind is Kind.DELAY:
        amount = rng.uniform(2, 150)
    elif kind is Kind.STEP_CLOCK:
        amount = rng.choice((-1, 1)) * 10 ** rng.uniform(1, 5.5)  # seconds to days
    elif kind in (Kind.REPEAT, Kind.REORDER):
        amount = rng.randint(5, 60)
    return Fault(at_s, kind, target, for_s, round(amount, 3))
