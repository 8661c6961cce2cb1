"""Our rows as what a logger would send: real-time data, and means of minutes, hours and days. Pure.

The means are made for transmission only, as loggers make them: the plain mean, least and greatest of the normal samples
of a period. They are no legal means of ours: those are the rule stage's, from committed rows, by the rules of a pack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge.hj212.codes import BY_CHANNEL, CODES
from edge.hj212.commands import Command
from edge.hj212.encoder import split
from edge.hj212.rows import CORRECTED, DAY_S, HOUR_S
from edge.hj212.segment import Group, Segment, Version, flag_of
from edge.hj212.times import CHINA_OFFSET_MS, data_time
from edge.sources import Row
from plant.channels import FLAGS

GRACE_MS: Final = 30_000
"""A period closes so long after its end: rows come a little late."""
_NORMAL: Final = "N"
_TOO_LARGE: Final = 1e14
_ANY_NUMBER: Final = "0" * 17  # as long as a QN

Reading = tuple[float | None, str]
"""A value of a channel, and its flag of table 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One packet to be sent, but for its head."""

    command: Command
    at_ms: int  #: DataTime
    fields: tuple[Group, ...]
    pnum: int | None = None
    pno: int | None = None


@dataclass(slots=True)
class Tally:
    """What is known of one channel in a period."""

    count: int = 0
    total: float = 0.0
    least: float = 0.0
    greatest: float = 0.0
    flags: Counter[str] = field(default_factory=Counter)

    def add(self, value: float | None, flag: str) -> None:
        self.flags[flag] += 1
        if value is None or flag != _NORMAL:
            return
        self.least = min(self.least, value) if self.count else value
        self.greatest = max(self.greatest, value) if self.count else value
        self.count += 1
        self.total += value

    @property
    def flag(self) -> str:
        """Normal where any sample was; else what most of them were."""
        return _NORMAL if self.count or not self.flags else max(sorted(self.flags), key=lambda flag: self.flags[flag])


class Means:
    """The running period of one length. A row of a period that was closed is late: it changes nothing sent."""

    def __init__(self, command: Command, interval_ms: int) -> None:
        self.command = command
        self.interval_ms = interval_ms
        self.late = 0
        self._start_ms: int | None = None
        self._tallies: dict[str, Tally] = {}

    def add(self, at_ms: int, readings: Mapping[str, Reading]) -> list[Item]:
        """Count a row; the period before it, where the row is the first of another."""
        start_ms = at_ms - (at_ms + CHINA_OFFSET_MS) % self.interval_ms
        if self._start_ms is not None and start_ms < self._start_ms:
            self.late += 1
            return []
        closed = self._close() if start_ms != self._start_ms else []
        self._start_ms = start_ms
        for channel, (value, flag) in readings.items():
            self._tallies.setdefault(channel, Tally()).add(value, flag)
        return closed

    def close(self, now_ms: int) -> list[Item]:
        """The running period where it is over."""
        if self._start_ms is None or not self._tallies or now_ms < self._start_ms + self.interval_ms + GRACE_MS:
            return []
        return self._close()

    def document(self) -> list[Any]:
        """What a restart goes on with."""
        tallies = {
            channel: [tally.count, tally.total, tally.least, tally.greatest, dict(tally.flags)]
            for channel, tally in self._tallies.items()
        }
        return [self.interval_ms, self._start_ms, tallies]

    def resume(self, document: Any) -> None:
        """As `document` wrote it; nothing where that was about another length."""
        interval_ms, start_ms, tallies = document
        if interval_ms == self.interval_ms:
            self._start_ms = start_ms
            self._tallies = {
                channel: Tally(count, total, least, greatest, Counter(flags))
                for channel, (count, total, least, greatest, flags) in tallies.items()
            }

    def _close(self) -> list[Item]:
        start_ms, tallies, self._tallies = self._start_ms, self._tallies, {}
        if start_ms is None or not tallies:
            return []
        return parts_of(self.command, start_ms, list(_mean_groups(tallies)))


def readings_of(row: Row) -> dict[str, Reading]:
    """The values of a measurement that HJ 212 has a code for, by channel; `..._corrected` beside them."""
    general = row.get("flag") or _NORMAL
    flags = row.get("flags") or {}
    found: dict[str, Reading] = {}
    for column, value in row.items():
        if column.removesuffix(CORRECTED) not in BY_CHANNEL or isinstance(value, str | bool | Mapping):
            continue
        flag = flags.get(column, flags.get(column.removesuffix(CORRECTED), general))
        found[column] = value, flag if flag in FLAGS else _NORMAL
    return found


def realtime(at_ms: int, readings: Mapping[str, Reading]) -> list[Item]:
    """2011: the values of an instant. One without a value keeps its flag."""
    groups = []
    for channel, (value, flag) in readings.items():
        if channel.endswith(CORRECTED):
            continue
        code = BY_CHANNEL[channel]
        group = _written(code, "Rtd", value) | _written(code, "ZsRtd", readings.get(channel + CORRECTED, (None, ""))[0])
        if group or flag != _NORMAL:
            groups.append(group | {f"{code}-Flag": flag})
    return parts_of(Command.REALTIME_DATA, at_ms, groups)


def passed_on(rows: Iterable[Row], minute_interval_s: int) -> Iterator[Item]:
    """The means that a logger made itself, as it would send them: rows of one stack and of any periods."""
    commands = {minute_interval_s: Command.MINUTE_DATA, HOUR_S: Command.HOUR_DATA, DAY_S: Command.DAY_DATA}
    found: dict[tuple[Command, int], list[Group]] = {}
    for row in rows:
        command, code = commands.get(row["interval_s"]), BY_CHANNEL.get(row["channel"])
        if command is None or code is None:
            continue
        group: dict[str, str] = {}
        if abs(row.get("amount") or _TOO_LARGE) < _TOO_LARGE and (scale := CODES[code].amount) is not None:
            group[f"{code}-Cou"] = f"{scale.back(row['amount']):f}"
        for prefix, named in (("", ""), ("Zs", "corrected_")):
            for suffix in ("Min", "Avg", "Max"):
                group |= _written(code, prefix + suffix, row.get(named + suffix.lower()))
        flag = row.get("flag") or _NORMAL
        found.setdefault((command, row["sampled_at"]), []).append(group | {f"{code}-Flag": flag})
    for (command, at_ms), groups in found.items():
        yield from parts_of(command, at_ms, groups)


def parts_of(command: Command, at_ms: int, groups: Sequence[Group]) -> list[Item]:
    """In as many packets as the standard's length asks for; none where there is nothing to say."""
    if not groups:
        return []
    head: Group = {"DataTime": data_time(at_ms)}
    widest = Segment(
        qn=_ANY_NUMBER,
        st="31",
        cn=command,
        pw="x" * 16,
        mn="x" * 32,
        flag=flag_of(Version.HJ_2025),
        resend=True,
        fields=(head, *groups),
    )
    return [
        Item(command=command, at_ms=at_ms, fields=tuple(part.fields), pnum=part.pnum, pno=part.pno)
        for part in split(widest, qn_of=lambda _: _ANY_NUMBER)
    ]


def _mean_groups(tallies: Mapping[str, Tally]) -> Iterator[Group]:
    for channel, tally in tallies.items():
        if channel.endswith(CORRECTED):
            continue
        code = BY_CHANNEL[channel]
        group: dict[str, str] = {}
        for prefix, counted in (("", tally), ("Zs", tallies.get(channel + CORRECTED))):
            if counted is not None and counted.count:
                group |= _written(code, f"{prefix}Min", counted.least)
                group |= _written(code, f"{prefix}Avg", counted.total / counted.count)
                group |= _written(code, f"{prefix}Max", counted.greatest)
        yield group | {f"{code}-Flag": tally.flag}


def _written(code: str, suffix: str, value: float | None) -> dict[str, str]:
    """Nothing for a value that the standard has no room for (N14.2)."""
    if value is None or not abs(value) < _TOO_LARGE:
        return {}
    return {f"{code}-{suffix}": CODES[code].written(value)}
