"""Histories with defaults: a quiet sinter head, hour by hour, and ways to alter some of its hours.

The default has no rows behind it: its features are drawn, seeded, so that a test can put a number of any hour to what
it is about. `a_history()` is twenty days in which no rule finds anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import CLEAR, UNDECIDED, Outcomes, Rule
from plant.features import HEAVY, names_of
from plant.minute_features import BLOCKS
from plant.packs import pack
from plant.periods import HOUR, Instants, micros
from plant.readings import Values
from plant.register import Channel, Site, Stack, Unit
from plant.verdicts import Reason, Verdict

ULE: Final = "cn-steel-ule-2019"
FIRST: Final = micros(datetime.fromisoformat("2026-10-01T00:00:00+08:00"))
DAYS: Final = 20

Hours = int | slice | Sequence[int] | npt.NDArray[Any]
Change = float | Values | Callable[[Values], Values]

LEVELS: Final[Mapping[str, tuple[float, float, float]]] = {
    "so2": (21.0, 1.0, 0.1),
    "nox": (33.0, 1.2, 0.1),
    "pm": (4.4, 0.3, 0.01),
    "o2": (15.8, 0.15, 0.01),
    "flow": (1_050_000.0, 16_000.0, 1.0),
    "temperature": (128.0, 2.0, 0.1),
    "moisture": (9.5, 0.2, 0.01),
    "pressure": (-320.0, 8.0, 1.0),
    "velocity": (15.0, 0.3, 0.01),
    "load_pct": (92.0, 1.5, 0.1),
    "power_production_kw": (14_500.0, 250.0, 1.0),
    "power_abatement_kw": (5_200.0, 90.0, 1.0),
}
"""Of a quiet sinter head, as the simulator's: level, spread of the values within an hour, resolution."""

WANDER: Final = 0.03  #: of the level, from hour to hour
WANDER_O2: Final = 0.006  #: the gas that is not air wanders by three times as much


def a_stack(process: str = "sinter_head", *, code: str = "DA001", **others: Any) -> Stack:
    defaults: dict[str, Any] = {
        "name": "A stack",
        "packs": (ULE,),
        "interval_s": 60,
        "units": ("S1",),
        "channels": {"so2": Channel(range=(0.0, 300.0)), "o2": Channel(range=(0.0, 25.0))},
    }
    return Stack(code=code, process=process, **(defaults | others))


def a_site(*stacks: Stack, **others: Any) -> Site:
    defaults: dict[str, Any] = {"name": "A works", "region": "hebei", "timezone": "Asia/Shanghai"}
    units = (Unit(code="S1", kind="sinter_strand"),)
    return Site(code="works", units=units, stacks=stacks or (a_stack(),), **(defaults | others))


def a_history(
    n_hours: int = DAYS * 24,
    *,
    stack: Stack | None = None,
    first: int = FIRST,
    seed: int = 1,
    levels: Mapping[str, tuple[float, float, float]] = LEVELS,
    instrument: str = "main",
    **others: Any,
) -> History:
    """*n_hours* quiet hours of one stack, all of them ended; *others* are fields of a history."""
    rng = np.random.default_rng(seed)
    stack = stack or a_stack()
    start = first + np.arange(n_hours, dtype=np.int64) * HOUR
    channels = {(instrument, name): _features(rng, name, start, *figures) for name, figures in levels.items()}
    packs = tuple(pack(name) for name in stack.packs)
    fields: dict[str, Any] = {
        "site": a_site(stack),
        "packs": packs,
        "now": int(start[-1]) + HOUR + 10 * 60_000_000 if n_hours else first,
        "ended": np.ones(n_hours, dtype=bool),
        "outlet": _outlet(n_hours),
        "channels": channels,
        "verdicts": _verdicts(stack, channels, instrument, n_hours),
    }
    return History(stack=stack, start=start, **(fields | others))


def _features(rng: np.random.Generator, name: str, start: Instants, level: float, spread: float, grain: float) -> Any:
    n = start.size
    wander = WANDER_O2 if name == "o2" else WANDER
    mean = level * (1 + wander * np.clip(rng.standard_normal(n), -2.5, 2.5))
    jitter = np.abs(spread) * (1 + 0.15 * rng.uniform(-1, 1, (5, n)))
    drawn = {
        "seen_s": np.full(n, 3600.0),
        "mean": mean,
        "std": jitter[0],
        "low": mean - 2.4 * jitter[1],
        "high": mean + 2.4 * jitter[2],
        "first": mean + jitter[3] - spread,
        "last": mean + jitter[4] - spread,
        "still_s": np.full(n, 120.0),
        "lead_s": np.full(n, 60.0),
        "tail_s": np.full(n, 60.0),
        "grain": np.full(n, grain),
    }
    if name in HEAVY:
        drawn |= _heavy(rng, start, mean, jitter[0])
    return {feature: drawn[feature] for feature in names_of(name)}


def _heavy(rng: np.random.Generator, start: Instants, mean: Values, spread: Values) -> dict[str, Values]:
    """A calibration of nine minutes at three every night, and a purge of a minute every four hours."""
    n = start.size
    hour = (start // HOUR) % 24
    calibrated, purged = hour == 19, hour % 4 == 1  # of UTC: three in the night at the works
    quiet = np.where(purged, 1500.0, np.where(calibrated, 2400.0, np.nan))
    step = 3 * spread
    return {
        "below_s": np.zeros(n),
        "over_s": np.zeros(n),
        "c_s": np.where(calibrated, 540.0, 0.0),
        "t_s": np.zeros(n),
        "other_s": np.where(purged, 60.0, 0.0),
        "claim_high": np.where(purged, 0.3 * mean, np.nan),
        "claim_q25": np.where(purged, 0.3 * mean, np.nan),
        "top_s": np.full(n, 60.0),
        "quiet_s": quiet,
        "minute_first": mean - 0.5 * spread,
        "minute_last": mean + 0.5 * spread,
        "step": step,
        "step_minute": np.full(n, 17.0),
        "step_before": mean - 0.3 * spread,
        "step_after": mean + 0.3 * spread,
        **{f"block{i}": np.floor(rng.uniform(1, 2**52, n)) for i in range(BLOCKS)},
    }


def _outlet(n: int) -> dict[str, Values]:
    zero = np.zeros(n)
    return {
        "rows": np.full(n, 60.0),
        "covered_s": np.full(n, 3600.0),
        "stopped_s": zero.copy(),
        "gap_s": zero.copy(),
        "lead_gap_s": zero.copy(),
        "tail_gap_s": zero.copy(),
    }


def _verdicts(
    stack: Stack, channels: Mapping[Any, Any], instrument: str, n: int
) -> dict[tuple[str, str], VerdictHours]:
    """Clear hours under each pack, corrected as its outlet has it, from the means of the channels."""
    out = {}
    for name in stack.packs:
        outlet = pack(name).outlet(stack.process)
        for pollutant, limit in outlet.limits.items():
            if (instrument, pollutant) not in channels:
                continue
            mean = channels[instrument, pollutant]["mean"].copy()
            o2 = channels[instrument, "o2"]["mean"].copy() if (instrument, "o2") in channels else np.full(n, np.nan)
            base = outlet.base_o2_vol_pct
            out[name, pollutant] = VerdictHours(
                verdict=np.full(n, Verdict.CLEAR, dtype=object),
                reason=np.full(n, Reason.WITHIN, dtype=object),
                corrected=mean if base is None else mean * (21 - base) / (21 - o2),
                limit=np.full(n, limit.mg_m3),
                mean=mean,
                o2=o2,
                mass_kg=mean * 1.05,
                valid_minutes=np.full(n, 60, dtype=np.int64),
                claimed=np.zeros(n, dtype=bool),
                revision=np.ones(n, dtype=np.int64),
            )
    return out


def shown(history: History, channel: str, hours: Hours, *, instrument: str = "main", **features: Change) -> History:
    """*history* with other features of one channel in *hours*: numbers, arrays of those hours, or functions of them."""
    there = history.channels[instrument, channel]
    return replace(history, channels={**history.channels, (instrument, channel): _changed(there, hours, features)})


def scaled(history: History, channel: str, hours: Hours, factor: float, *, instrument: str = "main") -> History:
    """*history* with all the values of one channel multiplied in *hours*."""
    names = ("mean", "std", "low", "high", "first", "last", "minute_first", "minute_last", "step_before", "step_after")
    there = history.channels[instrument, channel]
    changes: dict[str, Change] = {name: lambda value: value * factor for name in names if name in there}
    return shown(history, channel, hours, instrument=instrument, **changes)


def outlet(history: History, hours: Hours, **features: Change) -> History:
    """*history* with other features of its outlet in *hours*."""
    return replace(history, outlet=_changed(history.outlet, hours, features))


def judged(history: History, pollutant: str, hours: Hours, *, under: str = ULE, **fields: Any) -> History:
    """*history* with other verdicts of one pollutant in *hours*; *fields* are those of `VerdictHours`."""
    there = history.verdicts[under, pollutant]
    changed = {}
    for name, change in fields.items():
        values = getattr(there, name).copy()
        values[hours] = change(values[hours]) if callable(change) else change
        changed[name] = values
    return replace(history, verdicts={**history.verdicts, (under, pollutant): replace(there, **changed)})


def without_rows(history: History, hours: Hours) -> History:
    """*history* in which nothing arrived in *hours*."""
    history = outlet(
        history, hours, rows=0.0, covered_s=0.0, stopped_s=0.0, gap_s=3600.0, lead_gap_s=3600.0, tail_gap_s=3600.0
    )
    for instrument, channel in history.channels:
        nothing: dict[str, Change] = dict.fromkeys(names_of(channel), np.nan)
        history = shown(history, channel, hours, instrument=instrument, **nothing)
    for under, pollutant in history.verdicts:
        numbers = dict.fromkeys(("corrected", "limit", "mean", "o2", "mass_kg"), np.nan)
        history = judged(
            history, pollutant, hours, under=under, verdict=None, reason=None, valid_minutes=0, revision=0, **numbers
        )
    return history


def _changed(there: Mapping[str, Values], hours: Hours, features: Mapping[str, Change]) -> dict[str, Values]:
    changed = dict(there)
    for name, change in features.items():
        values = there[name].copy()
        values[hours] = change(values[hours]) if callable(change) else change
        changed[name] = values
    return changed


def part(history: History, first: int, end: int) -> History:
    """The hours from place *first* up to *end* of *history* as a history of their own."""

    def cut(values: Any) -> Any:
        return {key: value[first:end] for key, value in values.items()}

    def cut_each(of: Mapping[Any, Mapping[str, Values]]) -> Any:
        return {key: cut(values) for key, values in of.items()}

    verdicts = {
        key: VerdictHours(**{name: getattr(hours, name)[first:end] for name in VerdictHours.__slots__})
        for key, hours in history.verdicts.items()
    }
    return replace(
        history,
        start=history.start[first:end],
        ended=history.ended[first:end],
        outlet=cut(history.outlet),
        channels=cut_each(history.channels),
        verdicts=verdicts,
        conflicts=cut(history.conflicts),
        reported=cut(history.reported),
        signals=cut(history.signals),
        siblings=cut_each(history.siblings),
    )


def outcomes(rule: Rule, history: History) -> dict[tuple[str | None, str | None, str | None], Outcomes]:
    """What *rule* says of *history*, by (pack, pollutant, instrument)."""
    said = {(each.pack, each.pollutant, each.instrument): each for each in rule.judge(history)}
    for each in said.values():
        assert each.level.shape == each.observed.shape == each.limit.shape == (history.n_hours,)
        assert each.level.dtype == np.int8
    return said


def found(rule: Rule, history: History, pollutant: str | None = None) -> list[int]:
    """The places of the hours that *rule* finds, in any series or in those of *pollutant*."""
    series = [each for each in rule.judge(history) if pollutant is None or each.pollutant == pollutant]
    return sorted({int(at) for each in series for at in np.flatnonzero(each.level > CLEAR)})


def assert_same_in_parts(rule: Rule, history: History, *, parts: int = 5) -> None:
    """An hour's outcome is the same whatever lies more than `reach_h` hours before it.

    The history is cut at *parts* places; after each, what is said from `reach_h` hours on must be what the whole says.
    A series that is undecided or clear throughout need not be named.
    """
    whole = outcomes(rule, history)
    for first in np.linspace(0, history.n_hours - rule.reach_h - 1, parts).astype(int):
        cut = part(history, first, history.n_hours)
        said = outcomes(rule, cut)
        for key in whole.keys() | said.keys():
            _assert_equal(rule, whole.get(key), said.get(key), first, history.n_hours)
    for end in np.linspace(rule.reach_h + 1, history.n_hours, parts).astype(int):
        said = outcomes(rule, part(history, 0, end))
        for key in whole.keys() | said.keys():
            _assert_equal(rule, _cut(whole.get(key), end), said.get(key), 0, end)


def _cut(said: Outcomes | None, end: int) -> Outcomes | None:
    if said is None:
        return None
    return replace(said, level=said.level[:end], observed=said.observed[:end], limit=said.limit[:end])


def _assert_equal(rule: Rule, whole: Outcomes | None, said: Outcomes | None, first: int, end: int) -> None:
    """From `reach_h` hours behind *first* on."""
    judged_from = first + rule.reach_h if first else 0
    n = end - judged_from
    silent = np.full(n, UNDECIDED, dtype=np.int8)
    one = silent if whole is None else whole.level[judged_from:end]
    other = silent if said is None else said.level[-n:]
    if whole is None or said is None:
        assert not (one > CLEAR).any()
        assert not (other > CLEAR).any()
        return
    np.testing.assert_array_equal(one, other)
    at = np.flatnonzero(one > CLEAR)
    for name in ("observed", "limit"):
        mine, theirs = getattr(whole, name)[judged_from:end][at], getattr(said, name)[-n:][at]
        np.testing.assert_array_equal(mine, theirs)
