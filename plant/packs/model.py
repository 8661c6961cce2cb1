"""What a rule pack is: limits by outlet, pollutant and period, the rules of averaging, and how sure each figure is.

A limit that is known to exist and whose number is not established is *unset*. It stands in the pack, is shown, and
is never judged: asking for it raises `UnsetFigure` with the pack and the key path. How a pack is read is
`plant.packs.parsing`, how it is compared `plant.packs.comparing`, its shares `plant.packs.shares`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from plant.errors import NotFound, Refused


class UnsetFigure(Refused):
    """A figure that a regulation has and this pack does not: not established, so nothing may rest on it."""

    def __init__(self, pack: str, path: str, mark: str) -> None:
        self.pack = pack
        self.path = path
        super().__init__(
            f"pack {pack}, {path} is unset: the figure exists, its number is not established [{mark}]; "
            "write it into a pack of your own"
        )


class Period(StrEnum):
    """What a limit is the limit of: the mean over so long."""

    TEN_MINUTES = "ten_minutes"
    HALF_HOUR = "half_hour"
    HOUR = "hour"
    DAY = "day"
    ROLLING_30_DAY = "rolling_30_day"


MINUTES_OF = {Period.TEN_MINUTES: 10, Period.HALF_HOUR: 30, Period.HOUR: 60}
"""The periods that are averaged from minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """What makes a minute and the shortest judged period, an hour unless it says otherwise, valid (contract, 5)."""

    min_minute_cover: float  #: share of a minute that its rows must cover
    min_valid_minutes: int  #: valid running minutes of a valid hour
    not_running_minutes: int  #: minutes not running that exclude an hour
    oxygen_at_ambient_vol_pct: float  #: at or above it a correction has no meaning
    ended_after_s: int  #: an hour or month has ended that long after its end
    oxygen_in_air_vol_pct: float = 21.0  #: as the regulation's formula writes it (HJ 212-2017 App. D eq. 28: 21)
    period: Period = Period.HOUR  #: what is averaged from minutes
    min_valid_quarters: int | None = None  #: quarter hours of an hour that need a valid reading
    min_valid_quarters_in_qa: int | None = None  #: the same in an hour with quality assurance
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """What makes a day valid, and how many valid days a longer window needs. What is None is not asked."""

    of: Period  #: the day is a mean of these
    min_valid: int | None
    max_invalid: int | None  #: of those that ran
    min_valid_share: Decimal | None  #: of those that ran
    window: str  #: month, quarter or year: what the figures below are about
    min_valid_days: int | None
    min_valid_days_february: int | None
    min_valid_days_share: Decimal | None
    max_lost_days: int | None
    clause: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthRule:
    """The share of a month's valid hours that must be within the limit."""

    required: Decimal  #: compared without rounding
    min_valid_share: Decimal  #: of the hours not excluded, below which the month is undecided
    clause: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRule:
    """A share other than the month's: so many of the means *of* a period must be within a column, *over* a window.

    Rules with the same `either` are alternatives: one of them is enough.
    """

    key: str
    of: Period
    over: str  #: day, month, quarter or year
    column: str  #: of the limits; empty where there is only one
    required: Decimal
    either: str
    pollutants: tuple[str, ...]  #: empty: every one that has such a limit and no rule of its own
    clause: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """The 95 % confidence interval that is taken off a measured mean before it is compared."""

    of: str  #: `day_limit`: percent of the limit of the day; `value`: percent of what was measured
    percent: Mapping[str, float]
    clause: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The limit of a mean. [mg/m3, dry, 273.15 K, 101.325 kPa, at the outlet's base oxygen]"""

    pollutant: str
    mg_m3: float
    mark: str
    period: Period = Period.HOUR
    column: str = ""
    path: str = ""  #: of its key in the pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Unset:
    """A limit, or what it needs, that the regulation has and the pack has no number for."""

    pack: str
    path: str  #: of the key that says `unset`
    pollutant: str
    period: Period
    column: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged:
    """A limit on what no channel measures (dioxin, fluoride): shown, never judged."""

    name: str
    value: float | None  #: None where it is unset
    unit: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A limit of an outlet that is not judged, and why: what a person must be told beside a clean verdict."""

    pollutant: str
    period: str
    column: str
    reason: str  #: unset, period or no_channel
    path: str
    mark: str


class Limits(Mapping[str, Limit]):
    """The established limits of one period and column by pollutant, in the order of the pack.

    What is unset is not among them. Asking for it by name is an `UnsetFigure`, never a silent miss.
    """

    __slots__ = ("_established", "_unset")

    def __init__(self, established: Mapping[str, Limit], unset: Mapping[str, Unset]) -> None:
        self._established = established
        self._unset = unset

    def __getitem__(self, pollutant: str) -> Limit:
        if pollutant in self._unset:
            what = self._unset[pollutant]
            raise UnsetFigure(what.pack, what.path, what.mark)
        return self._established[pollutant]

    def __contains__(self, pollutant: object) -> bool:
        return pollutant in self._established

    def __iter__(self) -> Iterator[str]:
        return iter(self._established)

    def __len__(self) -> int:
        return len(self._established)

    def __repr__(self) -> str:
        return f"Limits({dict(self._established)!r}, unset={list(self._unset)!r})"

    @property
    def unset(self) -> Mapping[str, Unset]:
        return self._unset


NO_LIMITS = Limits({}, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    key: str
    name: str
    name_zh: str
    base_o2_vol_pct: float | None  #: None where there is none, and where it is unset: see `base_oxygen`
    limits: Limits  #: of hour means; empty where the pack limits other means only
    mark: str
    base_o2_mark: str = ""
    base_o2_unset: Unset | None = None
    also_as: tuple[str, ...] = ()  #: other names that a register may call it by
    by_period: Mapping[tuple[Period, str], Limits] = field(default_factory=dict)  #: every limit, by period and column
    not_judged: tuple[NotJudged, ...] = ()

    def limits_of(self, period: Period, column: str = "") -> Limits:
        """The limits of *period* and *column*; empty where the outlet has none."""
        return self.by_period.get((period, column), NO_LIMITS)

    def base_oxygen(self) -> float | None:
        """The base oxygen, None where a regulation sets none. [vol %]

        Raises
        ------
        UnsetFigure
            If there is one and its number is not established.
        """
        if self.base_o2_unset is not None:
            raise UnsetFigure(self.base_o2_unset.pack, self.base_o2_unset.path, self.base_o2_unset.mark)
        return self.base_o2_vol_pct

    def skipped(self, judged: Collection[Period] = (Period.HOUR,)) -> tuple[Skipped, ...]:
        """Every limit of this outlet that is not judged where only means of the periods *judged* are."""
        found: list[Skipped] = []
        for (period, _), limits in self.by_period.items():
            found += [_skipped(unset, "unset") for unset in limits.unset.values()]
            if period not in judged:
                found += [_skipped(limit, "period") for limit in limits.values()]
        for item in self.not_judged:
            path = f"outlet.{self.key}.not_judged.{item.name}"
            found.append(
                Skipped(pollutant=item.name, period="", column="", reason="no_channel", path=path, mark=item.mark)
            )
        return tuple(found)


def _skipped(what: Limit | Unset, reason: str) -> Skipped:
    return Skipped(
        pollutant=what.pollutant,
        period=what.period,
        column=what.column,
        reason=reason,
        path=what.path,
        mark=what.mark,
    )


class Outlets(Mapping[str, Outlet]):
    """Outlets by key, in the order of the pack. One may be asked for by its other names; each is listed once."""

    __slots__ = ("_by_key", "_by_name")

    def __init__(self, outlets: Mapping[str, Outlet]) -> None:
        self._by_key = outlets
        self._by_name = {name: outlet for outlet in outlets.values() for name in outlet.also_as} | dict(outlets)

    def __getitem__(self, name: str) -> Outlet:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def names(self) -> frozenset[str]:
        """The keys and the other names."""
        return frozenset(self._by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    name: str
    version: str  #: the written version and a digest of the file: a changed figure is another version
    title: str
    title_zh: str
    instrument: str
    clause: str
    kind: str  #: policy or statutory: what an hour above it means
    mark: str
    valid_from: date | None  #: unset where the date of force is not verified
    valid_until: date | None  #: the first day on which it no longer holds
    decimals: int  #: that a mean is rounded to, half to even, before it is compared
    averaging: Averaging
    month: MonthRule | None
    outlets: Outlets
    text: str
    compare: str = "full"  #: full: `decimals` only keep float noise out; rounded: the regulation rounds, to `decimals`
    day: DayRule | None = None
    shares: tuple[ShareRule, ...] = ()
    confidence: Confidence | None = None
    example: bool = False  #: shows how a pack is written; nothing may be judged by it
    notes: tuple[str, ...] = ()

    def outlet(self, key: str) -> Outlet:
        try:
            return self.outlets[key]
        except KeyError:
            raise NotFound(f"pack {self.name} has no outlet {key!r}; it has {', '.join(self.outlets)}") from None

    @property
    def judges_days(self) -> bool:
        """Whether its days are means of hours, as judged days are."""
        return self.averaging.period is Period.HOUR and (self.day is None or self.day.of is Period.HOUR)

    @property
    def judged(self) -> tuple[Period, ...]:
        """The periods whose means the running system judges."""
        if self.averaging.period is not Period.HOUR:
            return ()
        return (Period.HOUR, Period.DAY) if self.judges_days else (Period.HOUR,)

    def skipped(self, outlet: Outlet) -> tuple[Skipped, ...]:
        """Every limit of *outlet* that the running system does not judge; a day is judged from judged hours."""
        days = outlet.limits_of(Period.DAY) if self.judges_days else NO_LIMITS
        of_no_hour = [_skipped(limit, "period") for name, limit in days.items() if name not in outlet.limits]
        return (*outlet.skipped(self.judged), *of_no_hour)

    def in_force(self, day: date) -> bool:
        """Whether the pack holds on the local *day*. One whose date of force is not verified always has."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day < self.valid_until)
