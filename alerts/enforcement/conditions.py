"""What must hold beyond state and role before an act is recorded, and the numbers that show it.

Each condition either gives the numbers that the record will carry, or is `Refused` with the figures that
are missing. Reading the hours, the alerts and the register is the shell's work (`commands`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from alerts.enforcement.chain import utc_text
from plant.errors import Refused
from plant.packs.comparing import rounded
from plant.register import BINDING_KINDS, Instrument, Region

SUSPEND: Final = "suspend"


def instrument(region: Region, act: str, on: date) -> Instrument:
    """The legal text of *region* that an order of *act* given on *on* rests on.

    Plans and drafts cannot create a penalty, and suspension is one; a decision without basis is void
    (Penalty Law arts 9, 16, 38).
    """
    found = region.instrument_for(act, on)
    if found is not None:
        return found
    kinds = ", ".join(sorted(BINDING_KINDS))
    registered = "; ".join(_why_not(text, act, on) for text in region.instruments) or "none"
    raise Refused(
        f"region {region.code} has no registered legal instrument ({kinds}) that covers {act!r} on {on}. "
        f"Registered: {registered}"
    )


def _why_not(text: Instrument, act: str, on: date) -> str:
    if text.kind not in BINDING_KINDS:
        why = f"a {text.kind} cannot create a penalty"
    elif act not in text.covers:
        why = f"covers {', '.join(text.covers) or 'nothing'}"
    elif on < text.since:
        why = f"in force from {text.since}"
    else:
        why = f"in force until {text.until}"
    return f"{text.citation()} ({why})"


def instrument_numbers(text: Instrument, on: date) -> dict[str, Any]:
    return {
        "kind": text.kind,
        "citation": text.citation(),
        "covers": list(text.covers),
        "from": text.since.isoformat(),
        "until": text.until.isoformat() if text.until else None,
        "on": on.isoformat(),
    }


def standing(alerts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to go on with a case all of whose alerts were withdrawn: late data took away its ground."""
    if alerts and all(alert["state"] == "withdrawn" for alert in alerts):
        names = ", ".join(str(alert["id"]) for alert in alerts)
        raise Refused(f"every alert of this case was withdrawn ({names}): nothing is left to decide on, dismiss it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One pollutant at one stack that a trial must show clean, under the limit the case was opened with."""

    stack: str
    pollutant: str
    pack: str
    pack_version: str
    limit: float
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """A final verdict of an hour since the trial began."""

    stack: str
    pollutant: str
    pack: str
    pack_version: str
    start: datetime
    verdict: str
    reason: str
    corrected: float | None
    limit: float
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRun:
    """How far one watched pollutant has come."""

    watched: Watched
    required: int
    clean: tuple[Hour, ...]  #: clean hours since the trial began or since the last breached hour, oldest first
    breached: int
    excluded: int
    undecided: int
    last_breach: Hour | None

    @property
    def enough(self) -> bool:
        return len(self.clean) >= self.required

    def __str__(self) -> str:
        run, watched = len(self.clean), self.watched
        text = f"{watched.pollutant.upper()} at {watched.stack}: {run} of {self.required} clean hours"
        if self.last_breach is not None:
            text += f" since the breach of {utc_text(self.last_breach.start)}"
        return text

    def progress(self) -> dict[str, Any]:
        """What a person is shown while the trial runs."""
        breach = self.last_breach
        return {
            "stack": self.watched.stack,
            "pollutant": self.watched.pollutant,
            "pack": self.watched.pack,
            "pack_version": self.watched.pack_version,
            "limit": self.watched.limit,
            "required": self.required,
            "clean": len(self.clean),
            "breached": self.breached,
            "excluded": self.excluded,
            "undecided": self.undecided,
            "last_breach": utc_text(breach.start) if breach else None,
        }

    def numbers(self) -> dict[str, Any]:
        """The progress and the last hours of the run: what a record is decided on, and can be redone from."""
        hours = [
            {"start": utc_text(hour.start), "corrected": hour.corrected, "revision": hour.revision}
            for hour in self.clean[-self.required :]
        ]
        return {**self.progress(), "hours": hours}


def clean_runs(watched: Iterable[Watched], hours: Iterable[Hour], required: int) -> list[CleanRun]:
    """The run of clean hours of each watched pollutant.

    A breached hour starts the count again. An excluded or undecided hour neither counts nor breaks: missing
    data is neither compliance nor a breach.
    """
    by_series: dict[tuple[str, str, str], list[Hour]] = {}
    for hour in hours:
        by_series.setdefault((hour.stack, hour.pollutant, hour.pack), []).append(hour)
    return [
        _run(item, sorted(by_series.get((item.stack, item.pollutant, item.pack), []), key=_start), required)
        for item in watched
    ]


def _run(watched: Watched, hours: Sequence[Hour], required: int) -> CleanRun:
    clean: list[Hour] = []
    counts = {"clear": 0, "breached": 0, "excluded": 0, "undecided": 0}
    last_breach = None
    for hour in hours:
        verdict = _verdict_under(watched, hour)
        counts[verdict] += 1
        if verdict == "clear":
            clean.append(hour)
        elif verdict == "breached":
            clean.clear()
            last_breach = hour
    return CleanRun(
        watched=watched,
        required=required,
        clean=tuple(clean),
        breached=counts["breached"],
        excluded=counts["excluded"],
        undecided=counts["undecided"],
        last_breach=last_breach,
    )


def _verdict_under(watched: Watched, hour: Hour) -> str:
    """The verdict of *hour* under the limit that the case pinned: a newer pack does not move its goal."""
    decided = hour.verdict in ("clear", "breached") and hour.corrected is not None
    if hour.pack_version == watched.pack_version or hour.corrected is None or not decided:
        return hour.verdict
    return "clear" if rounded(hour.corrected, watched.decimals) <= watched.limit else "breached"


def _start(hour: Hour) -> datetime:
    return hour.start


def may_lift(runs: Sequence[CleanRun]) -> None:
    """Refuse to lift before every watched pollutant has its clean hours; the text says how far each is."""
    if not runs:
        raise Refused("no stack of these units is left in the register, so no hour can show that they are clean")
    short = [run for run in runs if not run.enough]
    if short:
        raise Refused("not yet clean: " + "; ".join(map(str, short)))
