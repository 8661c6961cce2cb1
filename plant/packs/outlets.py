"""Reading one outlet of a rule pack: base oxygen, limits by period and column, marks, what is unset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from plant.channels import CHANNELS
from plant.packs.model import NO_LIMITS, Averaging, Limit, Limits, NotJudged, Outlet, Period, Unset
from plant.reading import Reader

UNSET: Final = "unset"
MARK: Final = re.compile(r"(V-P|V-S|K-H|K-M|K-L|C|D|\?)(?![\w-])")
"""A confidence mark: read in a primary text, in a secondary one; known (high, medium, low); computed, ours, unknown."""
GASES: Final = CHANNELS[: CHANNELS.index("o2")]


def outlet_from(pack: str, key: str, table: Reader, averaging: Averaging) -> Outlet:
    mark = mark_of(table, "mark")
    base_mark = mark_of(table, "base_o2_mark", mark)
    base, base_unset = None, None
    if table.raw("base_o2") == UNSET:
        base_unset = Unset(
            pack=pack, path=table.path("base_o2"), pollutant="", period=averaging.period, column="", mark=base_mark
        )
    else:
        base = table.maybe_number("base_o2", low=0, high=20.5)
    by_period: dict[tuple[Period, str], Limits] = {}
    if "limits" in table:
        found = _limits_from(pack, table.table("limits"), mark, averaging.period, "", base_unset)
        by_period[averaging.period, ""] = found
    for also in table.tables("also"):
        period = Period(also.one_of("period", tuple(Period), averaging.period))
        column = also.text("column", "")
        limits = _limits_from(pack, also.table("limits"), mark_of(also, "mark", mark), period, column, base_unset)
        also.finish()
        if (period, column) in by_period:
            also.fault("period", f"{period} {column}".rstrip() + " has its limits already")
        elif not limits and not limits.unset:
            also.fault("limits", "is required: at least one pollutant with its limit in mg/m3")
        by_period[period, column] = limits
    not_judged = table.table("not_judged")
    outlet = Outlet(
        key=key,
        name=table.text("name"),
        name_zh=table.text("name_zh"),
        base_o2_vol_pct=base,
        base_o2_mark=base_mark,
        base_o2_unset=base_unset,
        limits=by_period.get((Period.HOUR, ""), NO_LIMITS),
        by_period=by_period,
        also_as=table.texts("also_as", ()),
        not_judged=tuple(_not_judged_from(name, item) for name, item in not_judged.entries()),
        mark=_whole_mark(mark, base_mark, base_unset, by_period.values()),
    )
    if not any(limits or limits.unset for limits in by_period.values()):
        table.fault("limits", "is required: at least one pollutant with its limit in mg/m3")
    table.finish()
    return outlet


def _whole_mark(mark: str, base_mark: str, base_unset: Unset | None, sets: Iterable[Limits]) -> str:
    """The outlet's mark, and beside it what is more or less sure: nobody sees the one without the other."""
    own = f" {base_mark}" if base_mark != mark else ""
    base = f"base O2{' unset' if base_unset else ''}{own}"
    told: dict[str, None] = {base: None} if own or base_unset else {}
    for limits in sets:
        told |= {f"{limit.pollutant} {limit.mark}": None for limit in limits.values() if limit.mark != mark}
        for unset in limits.unset.values():
            told[f"{unset.pollutant} unset" + (f" {unset.mark}" if unset.mark != mark else "")] = None
    return "; ".join((mark, *told))


def _limits_from(pack: str, table: Reader, mark: str, period: Period, column: str, base_unset: Unset | None) -> Limits:
    established: dict[str, Limit] = {}
    unset: dict[str, Unset] = {}
    for pollutant in table.names():
        value = table.raw(pollutant)
        path, its_mark = table.path(pollutant), mark
        if isinstance(value, Mapping):
            inner = table.table(pollutant)
            figure = _figure(inner, "mg_m3")
            its_mark = mark_of(inner, "mark", mark)
            inner.finish()
        else:
            figure = _figure(table, pollutant)
        if pollutant not in GASES:
            table.fault(pollutant, f"is no channel of a pollutant; those are {', '.join(GASES)}; see not_judged")
        if figure is None:
            unset[pollutant] = Unset(
                pack=pack, path=path, pollutant=pollutant, period=period, column=column, mark=its_mark
            )
        elif base_unset is not None:  # a number that nobody can compare with before the base oxygen is known
            unset[pollutant] = Unset(
                pack=pack,
                path=base_unset.path,
                pollutant=pollutant,
                period=period,
                column=column,
                mark=base_unset.mark,
            )
        else:
            established[pollutant] = Limit(
                pollutant=pollutant, mg_m3=figure, mark=its_mark, period=period, column=column, path=path
            )
    return Limits(established, unset)


def _not_judged_from(name: str, table: Reader) -> NotJudged:
    if name in GASES:
        table.fault("", "is a channel: write it under limits")
    found = NotJudged(
        name=name, value=_figure(table, "value"), unit=table.text("unit", "mg/m3"), mark=mark_of(table, "mark")
    )
    table.finish()
    return found


def _figure(table: Reader, key: str) -> float | None:
    """A limit, None where it says `unset`."""
    value = table.raw(key)
    if value == UNSET:
        return None
    if isinstance(value, str):
        table.fault(key, f'must be a number from 1e-06 or "{UNSET}", got {value!r}')
        return 1.0
    return table.number(key, low=1e-6)


def mark_of(table: Reader, key: str, default: str | None = None) -> str:
    mark = table.text(key, default)
    if mark != default and not MARK.match(mark):
        table.fault(key, f"must begin with V-P, V-S, K-H, K-M, K-L, C, D or ?, got {mark!r}")
    return mark
