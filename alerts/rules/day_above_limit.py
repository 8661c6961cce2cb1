"""Day mean above the limit.

What it says    the mean of the valid hour means of a local day is above the pack's limit of a day.
Why it matters  some regulations limit days beside hours, or lower: every hour may be within and the day above.
Not for         days with too few valid hours: undecided, like hours; packs whose days are means of something
                shorter than an hour; pollutants without a limit of the hour under the same pack, for no hour of
                theirs is judged. No packaged pack has such a limit today: a pack of your own may.
Source          the pack's clause of the day; what makes a day valid: HJ 212-2017 App. D eq. 25, 20 hours, where the
                pack does not say otherwise.

A day is found with its last hour, and the alert stands until the day after can be judged: one alert a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import CLEAR, MAJOR, UNDECIDED, WARNING, Life, Outcomes, Rule, levels
from plant.days import DEFAULT, Completeness, Dates, average_days, day_edges
from plant.limits import governing
from plant.packs import Limit, Outlet, Pack, Period
from plant.packs.comparing import credited, is_above
from plant.periods import HOUR
from plant.readings import Values
from plant.verdicts import Verdict

LONGEST_DAY_H: Final = 25  # where clocks are put back, and
SHORTEST_DAY_H: Final = 23  # where they are put forward


def judge(history: History) -> Iterator[Outcomes]:
    """The days of each pollutant that a pack limits both by the hour and by the day."""
    if not history.n_hours:
        return
    for pack in history.packs:
        if not pack.judges_days:
            continue
        for pollutant, of_hour in governing(pack, history.stack).items():
            hours = history.verdicts.get((pack.name, pollutant))
            limits = of_hour.outlet.limits_of(Period.DAY)
            if hours is not None and pollutant in limits:
                value = credited(hours.corrected, pack, of_hour.outlet, of_hour.limit)
                yield _series(history, pack, of_hour.outlet, limits[pollutant], hours, value)


def _series(history: History, pack: Pack, outlet: Outlet, limit: Limit, hours: VerdictHours, value: Values) -> Outcomes:
    valid = hours.is_(Verdict.CLEAR) | hours.is_(Verdict.BREACHED)
    rule = DEFAULT if pack.day is None else Completeness.of(pack.day)
    days = average_days(history.start, value, valid, history.site.zone, rule=rule)
    day_of = _last_hours(history, days.day)
    at, day = np.array(list(day_of), dtype=np.int64), np.array(list(day_of.values()), dtype=np.int64)
    grave = MAJOR if pack.kind == "statutory" else WARNING
    level = np.full(history.n_hours, CLEAR, dtype=np.int8)
    level[at] = levels(is_above(days.mean[day], pack, outlet, limit), days.valid[day], grave)
    observed = np.full(history.n_hours, np.nan)
    observed[at] = days.mean[day]

    def evidence(place: int) -> Mapping[str, Any]:
        day = day_of[place]
        return {
            "day": str(days.day[day]),
            "pack_version": pack.version,
            "clause": f"{pack.instrument}, {pack.clause}: {outlet.name}, limit of the day",
            "mean": float(days.mean[day]),
            "valid_hours": int(days.valid_hours[day]),
            "hours": int(days.hours[day]),
            "base_o2": outlet.base_o2_vol_pct,
            "mark": limit.mark,
        }

    return Outcomes(
        level=np.where(history.ended, level, UNDECIDED).astype(np.int8),
        observed=observed,
        limit=np.full(history.n_hours, limit.mg_m3),
        evidence=evidence,
        pollutant=limit.pollutant,
        pack=pack.name,
    )


def _last_hours(history: History, days: Dates) -> dict[int, int]:
    """By the place of its last hour, the place of each of *days* that is over with the history."""
    end = int(history.start[-1]) + HOUR
    ends = day_edges(days[0].astype(date), days.size, history.site.zone)[1:]
    over = np.flatnonzero(ends <= end)
    return dict(zip((np.searchsorted(history.start, ends[over]) - 1).tolist(), over.tolist(), strict=True))


RULE: Final = Rule(
    name="day_above_limit",
    judge=judge,
    unit="mg/m3",
    clause="the limit of the day of the pack that the alert names",
    reach_h=LONGEST_DAY_H - 1,
    life=Life(keep_h=SHORTEST_DAY_H - 1),
)
