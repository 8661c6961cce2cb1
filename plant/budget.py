"""The compliance budget of a running month: how many hours above the limit are left, and how it may end.

At least 95 % of a month's valid hour means must be within the limit (regulation 1.2 [V-S]; the share is the pack's):
the rest is a budget of hours. `plant.months` judges the month; here is what follows from it. Everything holds on
condition that the hours which have ended keep their verdicts: a late row or an accepted mark may change one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from plant.months import Month, allowed_above
from plant.packs import MonthRule
from plant.periods import HOUR, instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a month can still become. Counts are hours; a month that has ended has none to come."""

    above: int
    to_come: int
    if_it_runs_on: int  #: hours allowed above when every hour to come is valid
    if_it_stops_now: int  #: when none to come is: the budget shrinks with the hours that are not run
    pace: float | None  #: hours above per valid hour so far; None before the first
    used_up_in: int | None
    """Running on at that pace, after how many hours none is left: 0 if none is now, None if some are at the end."""
    overdrawn_in: int | None  #: the same for the hour that is one too many
    share_now: float | None
    share_at_best: float | None  #: at the end, if every hour to come is valid and within
    share_at_worst: float | None  #: at the end, if every hour to come is valid and above
    can_end_clear: bool
    can_end_breached: bool

    @property
    def left(self) -> int:
        """Hours left if it runs on; below 0 they are missing."""
        return self.if_it_runs_on - self.above

    @property
    def left_if_it_stops_now(self) -> int:
        return self.if_it_stops_now - self.above


def outlook(month: Month, rule: MonthRule) -> Outlook:
    """What *month* can still become under *rule*.

    Of every way in which the hours to come may end, all valid and within is the best and all valid and above the
    worst: hours that are excluded or undecided leave the share in between, and make the month no more decidable.
    """
    valid, above, to_come = month.hours_valid, month.hours_above, month.hours_to_come
    if_it_runs_on = allowed_above(valid + to_come, rule)
    pace = Fraction(above, valid) if valid else None
    not_excluded = valid + month.hours_undecided + to_come
    decidable = valid + to_come > 0 and valid + to_come >= Fraction(rule.min_valid_share) * not_excluded
    return Outlook(
        above=above,
        to_come=to_come,
        if_it_runs_on=if_it_runs_on,
        if_it_stops_now=allowed_above(valid, rule),
        pace=None if pace is None else float(pace),
        used_up_in=_reached_in(if_it_runs_on - above, pace, to_come),
        overdrawn_in=_reached_in(if_it_runs_on + 1 - above, pace, to_come),
        share_now=_share(month.hours_within, valid),
        share_at_best=_share(month.hours_within + to_come, valid + to_come),
        share_at_worst=_share(month.hours_within, valid + to_come),
        can_end_clear=decidable and above <= if_it_runs_on,
        can_end_breached=decidable and above + to_come > if_it_runs_on,
    )


def hour_to_come(nth: int, to_come: int, month_end: int) -> int:
    """The start of the *nth* hour to come (from 1), where *to_come* are left before *month_end*; in microseconds."""
    if not 1 <= nth <= to_come:
        raise ValueError(f"there are {to_come} hours to come, no {nth}th")
    return month_end - (to_come - nth + 1) * HOUR


def run_out_hour(of: Outlook, month_end: int) -> int | None:
    """The start of the hour to come that uses up the last one left at the present pace; None where none does."""
    if not of.used_up_in:
        return None
    return hour_to_come(of.used_up_in, of.to_come, month_end)


def _reached_in(hours: int, pace: Fraction | None, to_come: int) -> int | None:
    """After how many hours at *pace* that many more are above; None where that is after the month's end."""
    if hours <= 0:
        return 0
    if not pace:
        return None
    needed = -((-hours * pace.denominator) // pace.numerator)
    return needed if needed <= to_come else None


def _share(within: int, valid: int) -> float | None:
    return within / valid if valid else None


@dataclass(frozen=True, slots=True)
class Words:
    """The same in the two languages of the pages."""

    en: str
    zh: str

    def __add__(self, other: Words) -> Words:
        return Words(f"{self.en} {other.en}", f"{self.zh}{other.zh}")


def in_words(of: Outlook, *, month_end: int, zone: ZoneInfo) -> Words:
    """The outlook in sentences, hours and local time: no burn rates, and no share rounded up to a pass."""
    if of.to_come == 0:
        return _ended(of)
    words = _left(of)
    if of.pace is None:
        return words + Words("No hour has been valid yet.", "尚无有效小时。")
    if of.left >= 0:
        words += _pace(of, month_end, zone) + _stop(of)
    return words + _ends(of)


def _ended(of: Outlook) -> Words:
    used = Words(
        f"The month has ended with {_hours(of.above)} above the limit; {of.if_it_runs_on} were allowed.",
        f"本月已结束：超过限值 {of.above} 小时，允许 {of.if_it_runs_on} 小时。",
    )
    if of.can_end_clear or of.can_end_breached:
        return used
    return used + _UNDECIDABLE


def _left(of: Outlook) -> Words:
    if of.left < 0:
        return Words(
            f"The month can no longer be saved: {_hours(of.above)} above the limit, "
            f"and even if every hour to come is within, only {of.if_it_runs_on} are allowed.",
            f"本月已无法挽回：超过限值 {of.above} 小时，即使其余小时全部达标，也只允许 {of.if_it_runs_on} 小时。",
        )
    return Words(
        f"{_hours(of.left).capitalize()} above the limit may still come: {of.above} of {of.if_it_runs_on} are used.",
        f"还可超过限值 {of.left} 小时：{of.if_it_runs_on} 小时中已用 {of.above} 小时。",
    )


def _pace(of: Outlook, month_end: int, zone: ZoneInfo) -> Words:
    out = run_out_hour(of, month_end)
    if of.left == 0:
        return Words("The next hour above the limit is one too many.", "再有一小时超过限值即不达标。")
    if out is None:
        return Words("At the present pace they last to the end of the month.", "按目前速度，可用到月底。")
    at = _local(out, zone)
    return Words(
        f"At the present pace the last is used up in the hour from {at}.", f"按目前速度，将在 {at} 起的一小时用完。"
    )


def _stop(of: Outlook) -> Words:
    allowed, missing = of.if_it_stops_now, -of.left_if_it_stops_now
    if missing <= 0:
        return Words(
            f"If it stopped now, {_hours(allowed)} would be allowed: enough.",
            f"若现在停产，允许 {allowed} 小时，足够。",
        )
    return Words(
        f"If it stopped now, {_hours(allowed)} would be allowed: {missing} too few.",
        f"若现在停产，允许 {allowed} 小时，少 {missing} 小时。",
    )


def _ends(of: Outlook) -> Words:
    if not (of.can_end_clear or of.can_end_breached):
        return _UNDECIDABLE
    best, worst = _percent(of.share_at_best), _percent(of.share_at_worst)
    return Words(
        f"The month will end with between {worst} and {best} of its hours within the limit.",
        f"本月最终达标率在 {worst} 与 {best} 之间。",
    )


_UNDECIDABLE: Final = Words("Too few hours are valid for a verdict on the month.", "有效小时数不足，本月无法判定。")


def _hours(n: int) -> str:
    return "1 hour" if n == 1 else f"{n or 'no'} hours"


def _percent(share: float | None) -> str:
    # Cut, not rounded: 94.999 % must not read as 95.00 %. The small addition undoes float noise such as 0.95 x 10,000.
    return "-" if share is None else f"{int(share * 10_000 + 1e-7) / 100:.2f} %"


def _local(at_us: int, zone: ZoneInfo) -> str:
    local: datetime = instant(at_us).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M}"
