"""The reference page of the arithmetic, written from the code and the packs: `python -m plant.reference`.

Each formula stands with its source and a worked example, computed here by the function that the system uses; a
test compares `docs/arithmetic.md` with this, so neither can drift from the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from plant import conversion as to
from plant.bounds import bound_hours, target_of
from plant.budget import outlook
from plant.days import average_days
from plant.envelopes import Envelope
from plant.months import JudgedHour, Month, judge_month
from plant.packs import Pack, all_packs, pack
from plant.periods import HOUR, month_bounds
from plant.quarters import capture_rate
from plant.substitution import substitute
from plant.tax import forecast
from plant.verdicts import Verdict

_SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
_LISTED: Final = 12  #: significant digits at most: what a double is sure of


@dataclass(frozen=True, slots=True)
class Formula:
    """One row of the page. `example` says the numbers in words, `compute` gives the result."""

    name: str
    equation: str
    source: str
    function: str
    example: str
    compute: Callable[[], float]
    unit: str


def _month(within: int, above: int, to_come: int = 0) -> Month:
    rule = pack("cn-steel-ule-2019").month
    assert rule is not None
    hours = {
        JudgedHour(Verdict.CLEAR, "within", False): within,
        JudgedHour(Verdict.BREACHED, "above", False): above,
    }
    return judge_month(hours, rule, hours_ended=within + above, hours_to_come=to_come, has_ended=to_come == 0)


def _day_mean(valid_hours: int) -> float:
    start, _ = month_bounds(date(2026, 11, 1), _SHANGHAI)
    hours = start + np.arange(24, dtype=np.int64) * HOUR
    valid = np.arange(24) < valid_hours
    days = average_days(hours, np.where(valid, 30.0, np.nan), valid, _SHANGHAI)
    return float(days.mean[0]) if bool(days.valid[0]) else float("nan")


def _keep_below() -> float:
    target = target_of(pack("cn-steel-ule-2019"), "sinter_head", "so2", already_corrected=False)
    minutes = np.where(np.arange(60) < 30, 40.0, np.nan)
    oxygen = np.where(np.arange(60) < 30, 16.0, np.nan)
    envelope = Envelope(low=0.0, high=200.0, o2=(14.0, 18.0))
    return float(bound_hours(minutes, oxygen, 30, target, envelope).keep_below)


def _substituted() -> float:
    start = np.arange(202, dtype=np.int64) * HOUR
    mass = np.concatenate([np.full(20, 9.0), np.full(180, 5.0), [np.nan, np.nan]])
    return float(substitute(start, mass, np.ones(202, dtype=bool), 0.95).mass_kg[-1])


def _tax() -> float:
    hours = np.full(100, 100.0)
    return float(forecast(hours, hours > 200.0, np.ones(100, dtype=bool), 200.0).payable)


APP_D: Final = "HJ 212-2017 App. D"

FORMULAS: Final = (
    Formula("actual to standard state", "Csn = Cs 101325/(Ba + Ps) (273 + ts)/273", f"{APP_D} eq. 18, V-P",
            "conversion.actual_to_standard", "5 mg/m3 at 120 degC, Ba 100800 Pa, Ps -300 Pa",
            lambda: to.actual_to_standard(5.0, 120.0, -300.0, 100_800.0), "mg/m3"),
    Formula("wet to dry, oxygen too", "Cdry = Cwet / (1 - Xsw)", f"{APP_D} eq. 19, V-P", "conversion.wet_to_dry",
            "28.571 mg/m3 wet, 8 % moisture", lambda: to.wet_to_dry(28.571, 8.0), "mg/m3"),
    Formula("ppm to mg/m3", "C = M/22.4 CV", f"{APP_D} eq. 20, V-P", "conversion.ppm_to_mg_m3", "10 ppm SO2",
            lambda: to.ppm_to_mg_m3(10.0, "so2"), "mg/m3"),
    Formula("NOx as NO2, by mass", "C = C_NO 46/30 + C_NO2", f"{APP_D} eq. 21, V-P", "conversion.nox_from_mass",
            "16.071 mg/m3 NO, 2.054 mg/m3 NO2", lambda: to.nox_from_mass(16.071, 2.054), "mg/m3"),
    Formula("NOx as NO2, by volume", "C = (NO + NO2) 46/22.4", f"{APP_D} eq. 22, V-P", "conversion.nox_from_volume",
            "12 ppm NO, 1 ppm NO2", lambda: to.nox_from_volume(12.0, 1.0), "mg/m3"),
    Formula("day mean", "mean of the valid hours, 20 or more", f"{APP_D} eq. 25, V-P", "days.average_days",
            "20 valid hours of 30 mg/m3", lambda: _day_mean(20), "mg/m3"),
    Formula("to reference excess air", "Cz = Csn a / as", f"{APP_D} eq. 26, V-P", "conversion.to_reference_excess_air",
            "30 mg/m3 at a = 4.2, as = 4.5", lambda: to.to_reference_excess_air(30.0, 4.2, 4.5), "mg/m3"),
    Formula("excess air", "a = 21 / (21 - O2)", f"{APP_D} eq. 27, V-P", "conversion.excess_air", "16 % oxygen",
            lambda: to.excess_air(16.0), ""),
    Formula("to reference oxygen", "Cz = C (21 - base)/(21 - O2)", f"{APP_D} eq. 28, V-P",
            "conversion.to_reference_oxygen", "31.056 mg/m3 at 16.522 %, base 16 %",
            lambda: to.to_reference_oxygen(31.056, 16.522, 16.0), "mg/m3"),
    Formula("velocity to flow", "Q = 3600 F V", f"{APP_D} eq. 29, 30, V-P", "conversion.flow_actual",
            "15 m/s through 20 m2", lambda: to.flow_actual(15.0, 20.0), "m3/h"),
    Formula("flow to standard, dry", "Qsn = Qs 273/(273 + ts) (Ba + Ps)/101325 (1 - Xsw)", f"{APP_D} eq. 31, V-P",
            "conversion.flow_standard_dry", "1080000 m3/h at 120 degC, Ba 100800 Pa, Ps -300 Pa, 8 % moisture",
            lambda: to.flow_standard_dry(1_080_000.0, 120.0, -300.0, 100_800.0, 8.0), "m3/h"),
    Formula("hourly mass", "G = C Qsn 1e-6, of the uncorrected C", f"{APP_D} eq. 33, V-P", "conversion.mass_kg",
            "31.056 mg/m3, 684591 m3/h", lambda: to.mass_kg(31.056, 684_591.0), "kg"),
    Formula("hours allowed above, a full month of 30 days", "floor(0.05 H)", "2019 Opinion, V-S; regulation 1.2",
            "months.judge_month", "720 valid hours", lambda: float(_month(720, 0).budget), "hours"),
    Formula("share of a month", "within / valid, 0.95 or more", "2019 Opinion, V-S", "months.judge_month",
            "684 of 720 hours within", lambda: float(_month(684, 36).share or 0.0), ""),
    Formula("budget if it runs on", "floor(0.05 (valid + to come)) - above", "contract, section 5 [D]",
            "budget.outlook", "300 within, 10 above, 410 to come", lambda: float(_left()), "hours"),
    Formula("keep below", "the mean that the minutes to come must keep to", "contract, section 4 [D]",
            "bounds.bound_hours", "30 minutes of 40 mg/m3 at 16 %, limit 35 mg/m3, base 16 %", _keep_below, "mg/m3"),
    Formula("capture rate of a quarter", "(Q - invalid - stopped)/(Q - stopped)", "HJ 75-2017, K-H",
            "quarters.capture_rate", "2208 hours, 201 invalid, 198 stopped", lambda: capture_rate(2208, 201, 198), ""),
    Formula("substituted mass", "highest of the last 180 valid hours, captured 90 % or more, 24 hours or fewer",
            "HJ 75-2017, K-H", "substitution.substitute", "2 invalid hours after 20 of 9 kg and 180 of 5 kg",
            _substituted, "kg"),
    Formula("tax to pay", "75 % at 30 % below the standard, 50 % at 50 % below", "Tax Law art. 13, V-P",
            "tax.forecast", "100 hours of 100 mg/m3, standard 200 mg/m3", _tax, ""),
)  # fmt: skip


def _left() -> int:
    rule = pack("cn-steel-ule-2019").month
    assert rule is not None
    return outlook(_month(300, 10, 410), rule).left


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# The arithmetic"
    yield ""
    yield "Written by `python -m plant.reference` (`make reference`) from code and packs; a test holds it to them."
    yield "How hours and months are judged with it, and what is our choice where sources are silent:"
    yield "[judging.md](judging.md)."
    yield "Marks: V-P read in a primary text, V-S in a secondary one, K-H K-M K-L from knowledge, [D] our own design."
    yield ""
    yield "## Formulas"
    yield ""
    yield "| what | formula | source | function in `plant` | worked example | result |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for formula in FORMULAS:
        result = f"{_shown(formula.compute())} {formula.unit}".strip()
        cells = (formula.name, formula.equation, formula.source, f"`{formula.function}`", formula.example, result)
        yield f"| {' | '.join(cells)} |"
    for found in all_packs().values():
        yield from _pack_lines(found)


def _pack_lines(found: Pack) -> Iterator[str]:
    yield ""
    yield f"## {found.name}"
    yield ""
    yield f"{found.title} / {found.title_zh}. {found.instrument}, {found.clause}. Confidence: {found.mark}."
    if found.month is not None:
        yield f"Month: {found.month.clause} ({found.month.mark})."
    yield ""
    yield "| outlet | | base O2 % | limits mg/m3 | confidence |"
    yield "| --- | --- | --- | --- | --- |"
    for outlet in found.outlets.values():
        base = "none" if outlet.base_o2_vol_pct is None else f"{outlet.base_o2_vol_pct:g}"
        limits = ", ".join(f"{name} {limit.mg_m3:g}" for name, limit in outlet.limits.items())
        yield f"| `{outlet.key}` | {outlet.name} / {outlet.name_zh} | {base} | {limits} | {outlet.mark} |"


def _shown(value: Any) -> str:
    return f"{float(f'{float(value):.6g}'):.{_LISTED}g}"


if __name__ == "__main__":
    sys.stdout.write(page())
