"""What is measured in a chaos run: a register, traces, and what must be in the database in the end.

A function of the seed. DA001 is measured by two edges, each of which leaves out what the other one sends, so that
most of its rows are put together from two frames. GT has a row an hour for a month, so that a month is judged and a
case opened. One works is simulated as it goes on. All of it lies in the past; a trace has holes, nulls, flags and
states.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from builders import POWER, REGION, WORKS
from edge.simulator.played import SimulatedSite

FIRST: Final = datetime(2025, 9, 30, 16, tzinfo=UTC)  # the first of October where the works stands
MINUTES: Final = 2 * 1440
HOURS: Final = 31 * 24
SCENARIO: Final = "one-stack"
SIMULATED_H: Final = 24
SECONDS: Final = 16.0  #: that the traces take, if nothing goes wrong

Identity = tuple[str, str, str, int]  #: site, stack, instrument, epoch milliseconds
Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one edge measures at one stack."""

    edge: str
    site: str
    stack: str
    step_s: int
    rows: list[Values] = field(repr=False)
    instrument: str = "main"
    simulated: bool = False  #: the edge makes the rows itself

    @property
    def name(self) -> str:
        return f"{self.edge}.{self.stack}.csv"

    @property
    def speed(self) -> float:
        """At which all traces end together."""
        length_ms: int = self.rows[-1]["sampled_at"] - self.rows[0]["sampled_at"]
        return length_ms / 1000 / SECONDS

    def write(self, folder: Path) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with (folder / self.name).open("w", newline="", encoding="utf-8") as file:
            lines = csv.DictWriter(file, columns, restval="")
            lines.writeheader()
            lines.writerows({name: "" if value is None else value for name, value in row.items()} for row in self.rows)


@dataclass(frozen=True, slots=True)
class Material:
    register: str
    traces: tuple[Trace, ...]
    seed: int = 0

    @property
    def rows(self) -> int:
        """That the edges publish; more than the database has in the end."""
        return sum(len(trace.rows) for trace in self.traces)

    def expected(self) -> dict[Identity, Values]:
        """Every row that must be in the database, with what is known of it."""
        found: dict[Identity, Values] = {}
        for trace in self.traces:
            for row in trace.rows:
                known = {name: value for name, value in row.items() if name != "sampled_at" and value is not None}
                identity = (trace.site, trace.stack, trace.instrument, row["sampled_at"])
                found.setdefault(identity, {"flag": "N"}).update(known)
        return found

    def sites(self) -> Mapping[str, str]:
        """The site of each edge."""
        return {trace.edge: trace.site for trace in self.traces}


def material(seed: int) -> Material:
    """What is measured in the run of *seed*."""
    rng = Random(f"material {seed}")
    whole = list(_minutes(rng))
    gases = [{name: row[name] for name in ("sampled_at", "so2", "nox")} for row in whole if rng.random() < 0.99]
    rest = [{name: row[name] for name in ("sampled_at", "pm", "o2")} for row in whole if rng.random() < 0.99]
    at_works = [
        Trace(edge="e1", site="works", stack="DA001", step_s=60, rows=gases),
        Trace(edge="e2", site="works", stack="DA001", step_s=60, rows=rest),
        Trace(edge="e1", site="works", stack="DA002", step_s=60, rows=list(_claimed(_minutes(rng), rng))),
        Trace(
            edge="e2",
            site="works",
            stack="DA003",
            step_s=60,
            rows=list(_claimed(_minutes(rng), rng)),
            instrument="backup",
        ),
    ]
    turbine = Trace(edge="e3", site="power", stack="GT", step_s=3600, rows=list(_hours(rng)))
    works = SimulatedSite(SCENARIO, seed=seed, start=FIRST)
    rows = [_without(row, "stack", "interval_s") for row in works.play(hours=SIMULATED_H)]
    imagined = Trace(edge="e4", site=works.code, stack=works.stacks[0], step_s=60, rows=rows, simulated=True)
    return Material(_register() + works.register_toml(), (*at_works, turbine, imagined), seed)


def _register() -> str:
    """Two sites under one region; the works with three stacks."""
    head, mark, stack = WORKS.rpartition("  [[site.stack]]")
    more = [mark + stack.replace("DA001", code).replace("Sinter head", f"Sinter head {code}") for code in _OTHERS]
    return head + mark + stack + "".join(more) + POWER.removeprefix(REGION)


_OTHERS: Final = ("DA002", "DA003")


def _minutes(rng: Random) -> Iterator[Values]:
    """Two days of a sinter head by the minute: every few hours above the limit, minutes missing, cells empty."""
    every, hole = rng.randint(3, 7), rng.randrange(MINUTES)
    for minute in range(MINUTES):
        if rng.random() < 0.02 or hole <= minute < hole + 50:
            continue
        level = 44.0 if (minute // 60) % every == 0 else 25.0
        row: Values = {"sampled_at": _ms(minute * 60)}
        row |= {
            "so2": _near(rng, level, 3),
            "nox": _near(rng, 40, 4),
            "pm": _near(rng, 6, 1),
            "o2": _near(rng, 16, 0.3),
        }
        if rng.random() < 0.01:
            row[rng.choice(("so2", "nox", "pm"))] = None
        yield row


def _claimed(rows: Iterator[Values], rng: Random) -> Iterator[Values]:
    """With what the plant says of its rows: calibration at night, and once it was stopped."""
    stopped = rng.randrange(MINUTES // 60)
    for row in rows:
        minute = (row["sampled_at"] - _ms(0)) // 60_000
        flag = "C" if minute % 1440 < 30 else "D" if rng.random() < 0.01 else "N"
        yield row | {"flag": flag, "state": "stopped" if minute // 60 == stopped else "running"}


def _hours(rng: Random) -> Iterator[Values]:
    """A month of a turbine by the hour, above its limit for more of it than a month may have."""
    for hour in range(HOURS):
        yield {"sampled_at": _ms(hour * 3600), "nox": _near(rng, 61 if rng.random() < 0.1 else 30, 4)}


def _without(row: Values, *names: str) -> Values:
    return {name: value for name, value in row.items() if name not in names}


def _near(rng: Random, level: float, spread: float) -> float:
    return round(rng.gauss(level, spread), rng.choice((1, 3, 6)))


def _ms(seconds: int) -> int:
    return round((FIRST + timedelta(seconds=seconds)).timestamp() * 1000)
