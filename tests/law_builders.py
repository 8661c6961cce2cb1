"""Builders for the rules on the law: a stack whose hours are written down as minutes, or as verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from alerts.hours import JudgedHours, judge_rows
from alerts.rules.history import History, VerdictHours
from alerts.subject import Subject
from hour_builders import FIRST, ULE, Sample, as_rows
from plant.hours import Claim
from plant.packs import Pack, pack
from plant.periods import HOUR, micros
from plant.readings import Rows
from plant.register import Channel, Site, Stack
from plant.verdicts import Reason, Verdict

CHINA: Final = ZoneInfo("Asia/Shanghai")
NOVEMBER: Final = micros(datetime(2026, 11, 1, tzinfo=CHINA))
SAID: Final = {
    "a": (Verdict.BREACHED, Reason.ABOVE),
    ".": (Verdict.CLEAR, Reason.WITHIN),
    "u": (Verdict.UNDECIDED, Reason.TOO_FEW_MINUTES),
    "x": (Verdict.EXCLUDED, Reason.NOT_RUNNING),
    " ": (None, None),
}
"""What the letters of `verdict_hours` stand for."""


def a_subject(
    process: str = "bf_casthouse",
    *,
    packs: Sequence[Pack] = (),
    channels: Mapping[str, Channel] | None = None,
    permit_mix_mg_m3: Mapping[str, float] | None = None,
) -> Subject:
    """A stack of 10 mg/m3 of dust, no base oxygen, whose analyser shows from 0 to 100."""
    stack = Stack(
        code="DA001",
        name="A stack",
        process=process,
        packs=tuple(each.name for each in packs) or (ULE,),
        interval_s=60,
        channels={"pm": Channel(range=(0.0, 100.0))} if channels is None else channels,
        permit_mix_mg_m3=permit_mix_mg_m3 or {},
    )
    site = Site(code="works", name="A works", region="hebei", timezone="Asia/Shanghai", stacks=(stack,))
    return Subject(site_id=1, stack_id=1, site=site, stack=stack, packs=tuple(packs))


def judged(
    subject: Subject,
    minutes: Sequence[Mapping[str, float] | None],
    *,
    now_min: float | None = None,
    states: Sequence[str | None] | None = None,
    accepted: Sequence[Claim] = (),
) -> JudgedHours:
    """The hours from FIRST on whose rows are *minutes*, None where there is none; *now_min* minutes after FIRST."""
    n_hours = -(-len(minutes) // 60)
    samples = [
        Sample(at * 60, row, state=None if states is None else states[at])
        for at, row in enumerate(minutes)
        if row is not None
    ]
    rows: dict[str, Rows] = {"main": as_rows(samples)} if samples else {}
    now = FIRST + 2 * n_hours * HOUR if now_min is None else FIRST + int(now_min * 60_000_000)
    return judge_rows(subject, rows, first=FIRST, n_hours=n_hours, marks=accepted, now=now)


def verdict_hours(
    letters: str, *, limit: float = 35.0, mass_kg: Sequence[float] | None = None, corrected: Sequence[float] = ()
) -> VerdictHours:
    """One hour a letter of `SAID`."""
    n = len(letters)
    said = [SAID[letter] for letter in letters]
    above = np.array([verdict is Verdict.BREACHED for verdict, _ in said], dtype=bool)
    valid = np.array([verdict in (Verdict.BREACHED, Verdict.CLEAR) for verdict, _ in said], dtype=bool)
    value = np.array(corrected, dtype=np.float64) if len(corrected) else np.where(above, limit * 1.5, limit * 0.5)
    value = np.where(valid, value, np.nan)
    verdict, reason = np.empty(n, dtype=object), np.empty(n, dtype=object)
    verdict[:], reason[:] = [v for v, _ in said], [r for _, r in said]
    return VerdictHours(
        verdict=verdict,
        reason=reason,
        corrected=value,
        limit=np.full(n, limit),
        mean=value,
        o2=np.full(n, 16.0),
        mass_kg=np.full(n, np.nan) if mass_kg is None else np.array(mass_kg, dtype=np.float64),
        valid_minutes=np.where(valid, 60, 0),
        claimed=np.zeros(n, dtype=bool),
        revision=np.ones(n, dtype=np.int64),
    )


def a_verdict_history(
    verdicts: Mapping[tuple[str, str], VerdictHours],
    *,
    start: int = NOVEMBER,
    n_running: int = 0,
    packs: Sequence[Pack] | None = None,
    permit_t_per_year: Mapping[str, float] | None = None,
    mass_before: Mapping[str, float] | None = None,
    timezone: str = "Asia/Shanghai",
) -> History:
    """Hours of which nothing is known but their verdicts; the last *n_running* have not ended."""
    n = next(iter(verdicts.values())).verdict.size
    under = tuple(packs) if packs is not None else tuple(pack(name) for name in dict.fromkeys(p for p, _ in verdicts))
    stack = Stack(
        code="DA001",
        name="A stack",
        process="sinter_head",
        packs=tuple(each.name for each in under),
        interval_s=60,
        permit_t_per_year=permit_t_per_year or {},
    )
    begins = start + np.arange(n, dtype=np.int64) * HOUR
    return History(
        site=Site(code="works", name="A works", region="hebei", timezone=timezone, stacks=(stack,)),
        stack=stack,
        packs=under,
        now=start + n * HOUR,
        start=begins,
        ended=np.arange(n) < n - n_running,
        outlet={"rows": np.full(n, 60.0)},
        channels={},
        verdicts=verdicts,
        mass_before=mass_before or {},
    )


def cut(history: History, first: int, end: int) -> History:
    """The hours from *first* to *end* as a history of their own."""
    places = slice(first, end)
    return replace(
        history,
        start=history.start[places],
        ended=history.ended[places],
        outlet={name: values[places] for name, values in history.outlet.items()},
        verdicts={
            key: VerdictHours(**{name: getattr(hours, name)[places] for name in VerdictHours.__slots__})
            for key, hours in history.verdicts.items()
        },
    )
