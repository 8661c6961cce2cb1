"""A packet as rows of ours: real-time data to measurements, minutes, hours and days to the logger's own means, process
and information codes to signals. Pure; columns are those of `edge.columns`, times epoch [ms].

Values are those of the packet, in the unit of their channel; nothing is corrected here, and what the logger says of
itself (flags) stays its claim. What goes into no row is told, with the reason; a packet that is not intact gives none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from edge.hj212.codes import AS_IT_IS, Scale
from edge.hj212.commands import Command
from edge.hj212.decoder import Packet
from edge.hj212.loggers import Logger, Target
from edge.hj212.mapped import Left, Mapped, Row, Why
from edge.hj212.things import SUFFIXES, Things, by_thing
from edge.hj212.times import CHINA_OFFSET_MS, epoch_ms
from plant.channels import FLAGS
from plant.identifiers import is_identifier

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
FURNACE_S: Final = 300  #: 2111: means of five minutes
CORRECTED: Final = "_corrected"
"""Ending of the channel that keeps the logger's own real-time value at reference oxygen beside the measured one."""

_INSTANTS: Final = frozenset(
    {Command.REALTIME_DATA, Command.RAW_DATA, Command.EQUIPMENT_STATE, Command.FIELD_INFORMATION}
)
_COLUMNS: Final = {
    "Avg": "avg",
    "Min": "min",
    "Max": "max",
    "ZsAvg": "corrected_avg",
    "ZsMin": "corrected_min",
    "ZsMax": "corrected_max",
}
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,24}\.?[0-9]{0,24}|\.[0-9]{1,24})(?:[eE][+-]?[0-9]{1,2})?")
_BESIDE: Final = frozenset({"Flag", "SampleTime"})  #: what goes with the values of a code
_TEXTS: Final = frozenset({"EFlag", "SN", "Info"})
_SIGNALLED: Final = SUFFIXES - _BESIDE - {"EFlag", "SN"} | {""}
_LONGEST_POLID: Final = 32
_INTERVAL_FREE: Final = frozenset({"RS", "RT"})

MOST_THINGS: Final = 200
"""Codes of one packet that are mapped: 1,024 bytes hold half as many at most."""


def to_rows(packet: Packet, logger: Logger) -> Mapped:
    """The rows of *packet* as *logger* is registered; none for a command that brings no data.

    A re-send that says so (RF=1) has revision 1 and replaces what was sent before.
    """
    mapped = Mapped()
    command = packet.command
    interval_s = _interval_s(command, logger)
    if interval_s is None and command not in _INSTANTS:
        return mapped
    if not packet.crc_ok:
        mapped.left.append(Left(Why.NOT_INTACT, packet.cn or ""))
        return mapped
    things = by_thing(packet, mapped)
    if not things:
        return mapped
    at_ms = packet.data_time_ms
    if at_ms is None:
        mapped.left += [Left(Why.NO_TIME, code) for code, _ in things]
        return mapped
    _Mapping(packet, logger, mapped, at_ms, interval_s).run(things)
    return mapped


def _interval_s(command: Command | None, logger: Logger) -> int | None:
    """What one record of *command* stands for; None for an instant."""
    match command:
        case Command.MINUTE_DATA:
            return logger.minute_interval_s
        case Command.HOUR_DATA:
            return HOUR_S
        case Command.DAY_DATA | Command.EQUIPMENT_RUN_TIME:
            return DAY_S
        case Command.FURNACE_DATA:
            return FURNACE_S
        case _:
            return None


class _Mapping:
    """One packet being mapped."""

    def __init__(self, packet: Packet, logger: Logger, mapped: Mapped, at_ms: int, interval_s: int | None) -> None:
        self._logger, self._mapped, self._interval_s = logger, mapped, interval_s
        self._own_system = packet.st in logger.systems
        self._revision: Row = {"revision": 1} if packet.resend else {}
        if interval_s is not None and logger.stamped_at_end:
            at_ms -= interval_s * 1000
        if interval_s is not None and (at_ms + CHINA_OFFSET_MS) % (interval_s * 1000):
            mapped.left.append(Left(Why.PERIOD_UNALIGNED, "DataTime"))
        self._at_ms = at_ms
        self._rows: dict[tuple[str, int], Row] = {}  # measurements by stack and time
        self._means: set[tuple[str | None, str]] = set()  # stacks and channels that have one

    def run(self, things: Things) -> None:
        for number, ((code, about), values) in enumerate(things.items()):
            if number == MOST_THINGS:
                self._leave(Why.TOO_MANY, code)
                break
            target = self._logger.place(code, own_system=self._own_system)
            if isinstance(target, Why):
                self._leave(target, code)
                continue
            said = values.get("Flag", "N")
            flag = None if said == "N" else self._flag(code, said)
            if target.channel is None:
                self._signals(target, about, values, flag)
            elif self._interval_s is None:
                self._measure(target, target.channel, values, flag)
            else:
                self._mean(target, target.channel, self._interval_s, values, flag)
        self._mapped.measurements += self._rows.values()

    def _leave(self, why: Why, name: str) -> None:
        self._mapped.left.append(Left(why, name))

    def _leave_suffix(self, code: str, suffix: str) -> None:
        if suffix not in _BESIDE:
            self._leave(Why.TEXT if suffix in _TEXTS else Why.SUFFIX, f"{code}-{suffix}")

    def _flag(self, code: str, said: str) -> str | None:
        """The flag of table 8; empty for one that is unknown; None for normal, or where none stands."""
        flag = said if said in FLAGS else self._logger.flags.get(said)
        if flag is None and said:
            self._leave(Why.FLAG_UNKNOWN, f"{code}-Flag")
            return ""
        return None if flag == "N" else flag

    def _number(self, code: str, suffix: str, text: str, scale: Scale, flag: str | None) -> float | None:
        if flag == "":
            return None
        if _NUMBER.fullmatch(text) is None:
            self._leave(Why.NOT_A_NUMBER, f"{code}-{suffix}" if suffix else code)
            return None
        return float(text) if scale is AS_IT_IS else scale.apply(text)

    def _measure(self, target: Target, channel: str, values: Mapping[str, str], flag: str | None) -> None:
        at_ms = self._at_ms
        if "SampleTime" in values:
            sampled_at = epoch_ms(values["SampleTime"])
            if sampled_at is None:
                self._leave(Why.NO_TIME, f"{target.signal}-SampleTime")
                return
            at_ms = sampled_at
        row: Row | None = None
        for suffix, text in values.items():
            if suffix == "Rtd":
                column = channel
            elif suffix == "ZsRtd":
                column = channel + CORRECTED
            else:
                self._leave_suffix(target.signal, suffix)
                continue
            if row is None:
                row = self._row(target.stack or "", at_ms)
            if column in row:
                self._leave(Why.SECOND_CODE, f"{target.signal}-{suffix}")
                continue
            row[column] = self._number(target.signal, suffix, text, target.scale, flag)
            if flag:
                row.setdefault("flags", {})[column] = flag

    def _row(self, stack: str, at_ms: int) -> Row:
        row = self._rows.get((stack, at_ms))
        if row is None:
            row = {"stack": stack, "sampled_at": at_ms, **self._revision}
            if self._logger.realtime_interval_s is not None:
                row["interval_s"] = self._logger.realtime_interval_s
            self._rows[stack, at_ms] = row
        return row

    def _mean(self, target: Target, channel: str, interval_s: int, values: Mapping[str, str], flag: str | None) -> None:
        row: Row = {"stack": target.stack, "sampled_at": self._at_ms, "interval_s": interval_s, "channel": channel}
        usual = len(row)
        for suffix, text in values.items():
            if column := _COLUMNS.get(suffix):
                row[column] = self._number(target.signal, suffix, text, target.scale, flag)
            elif suffix != "Cou":
                self._leave_suffix(target.signal, suffix)
            elif target.amount is None:
                self._leave(Why.UNIT_UNKNOWN, f"{target.signal}-{suffix}")
            else:
                row["amount"] = self._number(target.signal, suffix, text, target.amount, flag)
        if len(row) == usual:
            return
        if (target.stack, channel) in self._means:
            self._leave(Why.SECOND_CODE, target.signal)
            return
        self._means.add((target.stack, channel))
        if flag:
            row["flag"] = flag
        self._mapped.means.append({**row, **self._revision})

    def _signals(self, target: Target, about: str, values: Mapping[str, str], flag: str | None) -> None:
        """A signal a value: the code of what it is about and its period are part of the name."""
        for suffix, text in values.items():
            if suffix not in _SIGNALLED or text.startswith("//"):
                self._leave_suffix(target.signal, suffix)
                continue
            if about and not (is_identifier(about) and len(about) <= _LONGEST_POLID):
                self._leave(Why.NAME, f"{target.signal}-{suffix}")
                continue
            number = self._number(target.signal, suffix, text, AS_IT_IS, flag)
            if number is None:
                continue
            row: Row = {
                "sampled_at": self._at_ms,
                "signal": self._signal(target.signal, about, suffix),
                "value": number,
            }
            row |= {"unit": target.unit} if target.unit else {}
            row |= {"stack": target.stack} if target.stack else {}
            row |= {"flag": flag} if flag else {}
            self._mapped.signals.append({**row, **self._revision})

    def _signal(self, code: str, about: str, suffix: str) -> str:
        if suffix == "Info":
            return f"{code}-{about}" if about else code
        if suffix == "Rtd" and self._interval_s is None:
            return code
        if suffix in _INTERVAL_FREE or self._interval_s is None:
            return f"{code}-{suffix}" if suffix else code
        return f"{code}-{suffix}-{self._interval_s}s"
