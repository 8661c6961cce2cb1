"""Reading a rule pack: the TOML of one file to a `Pack`, with every fault by its key path.

What the keys mean is in docs/packs.md. A key that nobody asked for is a fault: a misspelt rule must not be silent.
"""

from __future__ import annotations

import hashlib
import tomllib
from decimal import Decimal
from typing import Final

from plant.errors import BadDocument, Fault
from plant.packs.model import (
    MINUTES_OF,
    Averaging,
    Confidence,
    DayRule,
    MonthRule,
    Outlets,
    Pack,
    Period,
    ShareRule,
)
from plant.packs.outlets import mark_of, outlet_from
from plant.reading import Reader

WINDOWS: Final = ("day", "month", "quarter", "year")
CONFIDENCE_OF: Final = ("day_limit", "value")


def parse_pack(text: str, source: str) -> Pack:
    """The pack in a TOML *text*; `BadDocument` with every fault and its key path."""
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise BadDocument(source, [Fault("", f"is no TOML: {error}")]) from error
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    pack = Pack(
        name=(name := top.identifier("name")),
        version=f"{top.text('version')}+{digest}",
        title=top.text("title"),
        title_zh=top.text("title_zh"),
        instrument=top.text("instrument"),
        clause=top.text("clause"),
        kind=top.one_of("kind", ("policy", "statutory")),
        mark=mark_of(top, "mark"),
        valid_from=top.maybe_day("valid_from"),
        valid_until=top.maybe_day("valid_until"),
        compare=top.one_of("compare", ("full", "rounded"), "full"),
        decimals=top.whole("decimals", low=0, high=9),
        averaging=(averaging := _averaging_from(top.table("averaging"))),
        day=_day_from(top.table("day"), averaging) if "day" in top else None,
        month=_month_from(top.table("month")) if "month" in top else None,
        shares=tuple(_share_from(table, averaging) for table in top.tables("share")),
        confidence=_confidence_from(top.table("confidence")) if "confidence" in top else None,
        example=top.boolean("example", default=False),
        notes=top.texts("notes", ()),
        outlets=Outlets(
            {key: outlet_from(name, key, table, averaging) for key, table in top.table("outlet").entries()}
        ),
        text=text,
    )
    if not pack.outlets:
        top.fault("outlet", "is required: at least one outlet with its limits")
    if pack.valid_from is not None and pack.valid_until is not None and pack.valid_until <= pack.valid_from:
        top.fault("valid_until", f"must be after valid_from, got {pack.valid_until}: the first day no longer in force")
    _check_names(pack, top)
    _check_shares(pack, top)
    if pack.compare == "rounded":
        _check_digits(pack, faults)
    top.finish()
    if faults:
        raise BadDocument(source, faults)
    return pack


def _averaging_from(table: Reader) -> Averaging:
    period = Period(table.one_of("period", tuple(MINUTES_OF), Period.HOUR))
    minutes = MINUTES_OF[period]
    of_air = table.number("oxygen_in_air_vol_pct", 21.0, low=20, high=21)
    rule = Averaging(
        min_minute_cover=table.number("min_minute_cover", low=0.01, high=1),
        min_valid_minutes=table.whole("min_valid_minutes", low=1, high=minutes),
        not_running_minutes=table.whole("not_running_minutes", low=1, high=minutes),
        oxygen_at_ambient_vol_pct=table.number("oxygen_at_ambient_vol_pct", low=1, high=20.99),
        ended_after_s=table.whole("ended_after_s", low=0, high=86_400),
        oxygen_in_air_vol_pct=of_air,
        period=period,
        min_valid_quarters=_maybe_whole(table, "min_valid_quarters", low=1, high=4),
        min_valid_quarters_in_qa=_maybe_whole(table, "min_valid_quarters_in_qa", low=1, high=4),
        mark=mark_of(table, "mark", ""),
    )
    if rule.oxygen_at_ambient_vol_pct >= of_air:
        table.fault("oxygen_at_ambient_vol_pct", f"must be below oxygen_in_air_vol_pct, which is {of_air:g}")
    for key in ("min_valid_quarters", "min_valid_quarters_in_qa"):
        if key in table and period is not Period.HOUR:
            table.fault(key, "is about hours, and this pack averages others")
    table.finish()
    return rule


def _day_from(table: Reader, averaging: Averaging) -> DayRule:
    asked = ("min_valid", "max_invalid", "min_valid_share")
    rule = DayRule(
        of=Period(table.one_of("of", tuple(MINUTES_OF), averaging.period)),
        min_valid=_maybe_whole(table, "min_valid", low=1, high=144),
        max_invalid=_maybe_whole(table, "max_invalid", low=0, high=144),
        min_valid_share=_maybe_share(table, "min_valid_share"),
        window=table.one_of("window", WINDOWS[1:], "month"),
        min_valid_days=_maybe_whole(table, "min_valid_days", low=1, high=366),
        min_valid_days_february=_maybe_whole(table, "min_valid_days_february", low=1, high=29),
        min_valid_days_share=_maybe_share(table, "min_valid_days_share"),
        max_lost_days=_maybe_whole(table, "max_lost_days", low=0, high=366),
        clause=table.text("clause"),
        mark=mark_of(table, "mark"),
    )
    if not any(key in table for key in asked):
        table.fault("", f"needs one of {', '.join(asked)}: what makes a day valid")
    in_a_day = 24 * 60 // MINUTES_OF[rule.of]
    if rule.min_valid is not None and rule.min_valid > in_a_day:
        table.fault("min_valid", f"must be at most {in_a_day}: a day has no more of {rule.of}")
    table.finish()
    return rule


def _month_from(table: Reader) -> MonthRule:
    rule = MonthRule(
        required=_share(table, "required"),
        min_valid_share=_share(table, "min_valid_share"),
        clause=table.text("clause"),
        mark=mark_of(table, "mark"),
    )
    table.finish()
    return rule


def _share_from(table: Reader, averaging: Averaging) -> ShareRule:
    rule = ShareRule(
        key=table.identifier("key"),
        of=Period(table.one_of("of", tuple(Period), averaging.period)),
        over=table.one_of("over", WINDOWS),
        column=table.text("column", ""),
        required=_share(table, "required"),
        either=table.text("either", ""),
        pollutants=table.texts("pollutants", ()),
        clause=table.text("clause"),
        mark=mark_of(table, "mark"),
    )
    table.finish()
    return rule


def _confidence_from(table: Reader) -> Confidence:
    percent = table.table("percent")
    rule = Confidence(
        of=table.one_of("of", CONFIDENCE_OF),
        percent={name: percent.number(name, low=0, high=100) for name in percent.names()},
        clause=table.text("clause"),
        mark=mark_of(table, "mark"),
    )
    if not rule.percent:
        table.fault("percent", "is required: what is taken off, by pollutant, in percent")
    table.finish()
    return rule


def _share(table: Reader, key: str) -> Decimal:
    share = table.exact(key)
    if not 0 <= share <= 1:
        table.fault(key, f"must be a share from 0 to 1, got {share}")
    return share


def _maybe_share(table: Reader, key: str) -> Decimal | None:
    return _share(table, key) if key in table else None


def _maybe_whole(table: Reader, key: str, *, low: int, high: int) -> int | None:
    return table.whole(key, low=low, high=high) if key in table else None


def _check_names(pack: Pack, top: Reader) -> None:
    """No outlet may be asked for by a name that is another's."""
    owner: dict[str, str] = {key: key for key in pack.outlets}
    for key, outlet in pack.outlets.items():
        for name in outlet.also_as:
            if name in owner:
                top.fault(f"outlet.{key}.also_as", f"{name!r} is already a name of outlet {owner[name]}")
            owner[name] = key


def _check_shares(pack: Pack, top: Reader) -> None:
    columns = {where for outlet in pack.outlets.values() for where in outlet.by_period}
    keys = [rule.key for rule in pack.shares]
    for index, rule in enumerate(pack.shares):
        if (rule.of, rule.column) not in columns:
            column = f" column {rule.column}" if rule.column else ""
            top.fault(f"share[{index}].of", f"no outlet has limits of {rule.of}{column}")
        if rule.key in keys[:index]:
            top.fault(f"share[{index}].key", f"{rule.key!r} is there twice")
        windows = {other.over for other in pack.shares if rule.either and other.either == rule.either}
        if len(windows) > 1:
            top.fault(f"share[{index}].either", "alternatives must be over the same window")
    of_a_day = any(period is Period.DAY for period, _ in columns)
    if pack.confidence is not None and pack.confidence.of == "day_limit" and not of_a_day:
        top.fault("confidence.of", "no outlet has limits of a day to take a percentage of")


def _check_digits(pack: Pack, faults: list[Fault]) -> None:
    """A mean that is rounded to fewer digits than its limit is written with could never meet it."""
    for outlet in pack.outlets.values():
        for limits in outlet.by_period.values():
            for limit in limits.values():
                digits = Decimal(str(limit.mg_m3)).normalize().as_tuple().exponent
                if isinstance(digits, int) and -digits > pack.decimals:
                    message = f"has more decimals than means are rounded to ({pack.decimals})"
                    faults.append(Fault(limit.path, message))
