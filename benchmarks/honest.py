"""What an honest works has beside its rows: recordings do not hold it, and some rules look at nothing else.

The planned stops are ordered and kept; a damper leads around every abatement and plays about its zero; a logger
averages the values as they were sent; once an analyser was compared, and once a slope was changed, with a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

import numpy as np

from alerts.backtest.folder import FolderSource
from alerts.backtest.judging import REACH_H, Beside, Blocks, Part, conclude, join
from alerts.backtest.results import Result
from alerts.rules.history import Span
from alerts.subject import Subject, Watched
from edge.simulator.activity import Effect
from plant.conversion import to_reference_oxygen
from plant.periods import HOUR
from plant.readings import Values

TO_STOP: Final = 4 * HOUR  #: in which an ordered unit has to stand
PLAY_PCT: Final = 0.3  #: of a closed damper's feedback, about half a per cent
DIGITS: Final = 2  #: of a logger
COMPARED_H, CHANGED_H = 5 * 24, 9 * 24  #: after the beginning
_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class HonestWorks(FolderSource):
    """Recordings, and what is said beside them; *stops* are those that were planned."""

    stops: tuple[Effect, ...]

    def conclude(
        self, site: str, stack: str, parts: Sequence[Part], siblings: Mapping[str, Blocks], now: int
    ) -> Result:
        subject = self._subjects(site, (stack,))[stack]
        beside = beside_of(subject, join(parts), self.stops)
        return conclude(subject, parts, now=now, beside=beside, siblings=siblings)


def beside_of(subject: Subject, whole: Part, stops: Sequence[Effect]) -> Beside:
    changed = whole.first + CHANGED_H * HOUR
    return Beside(
        orders=tuple(_ordered(stop) for stop in stops),
        changes=(Span(start=changed, end=changed, kind="register", detail={"parameter": "slope"}),),
        reported=_logged(subject, whole),
        signals=_damper(subject, whole),
        records={
            "began": (whole.first,),
            "comparison": (whole.first + COMPARED_H * HOUR,),
            "parameter": (changed + HOUR,),
        },
    )


def _ordered(stop: Effect) -> Span:
    start, end = stop.since_ms * _MS, None if stop.until_ms is None else stop.until_ms * _MS
    units = [{"unit": stop.unit, "mode": stop.mode, "value": stop.value}]
    detail = {"order_id": f"or-{stop.unit}", "units": units, "safe_state_by": start + TO_STOP}
    return Span(start=start, end=end, kind="suspend", detail=detail)


def _damper(subject: Subject, whole: Part) -> dict[tuple[str, str, str], Values]:
    rng = np.random.default_rng(crc32(subject.stack.code.encode()))
    mean = 0.5 + PLAY_PCT * rng.standard_normal(whole.n_hours)
    figures = {"mean": mean, "low": mean - PLAY_PCT, "high": mean + PLAY_PCT}
    return {("", "bypass_open_pct", figure): _led(values) for figure, values in figures.items()}


def _logged(subject: Subject, whole: Part) -> dict[tuple[str, str, str], Values]:
    """The means of the values as they were sent, of what is sent as it is judged; corrected with the mean oxygen."""
    found = {}
    sent = whole.features.channels
    instrument = subject.stack.judged_from[0]
    for watched in subject.watched:
        channel = subject.stack.channel(watched.pollutant)
        as_judged = replace(channel, range=None, zero_drift=None) == type(channel)()
        if as_judged and (instrument, watched.pollutant) in sent:
            mean = sent[instrument, watched.pollutant]["mean"]
            found["logger", watched.pollutant, "avg"] = _led(np.round(mean, DIGITS))
            if (corrected := _corrected(watched, mean, sent.get((instrument, "o2"), {}).get("mean"))) is not None:
                found["logger", watched.pollutant, "corrected_avg"] = _led(np.round(corrected, DIGITS))
    return found


def _corrected(watched: Watched, mean: Values, o2: Values | None) -> Values | None:
    base, rule = watched.target.base_o2_vol_pct, watched.pack.averaging
    if base is None or o2 is None:
        return None
    below = np.where(o2 < rule.oxygen_at_ambient_vol_pct, o2, np.nan)
    return to_reference_oxygen(mean, below, base, rule.oxygen_in_air_vol_pct)


def _led(values: Values) -> Values:
    """With the silence that a history begins with."""
    return np.concatenate([np.full(REACH_H, np.nan), values])
