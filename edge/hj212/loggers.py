"""What a site says about one data logger: whose stack it measures, and where it departs from the standard.

    [[hj212.listen.logger]]                      # the keys of connection and password are read by the server
    mn = "010000A8900016F000169DC0"
    stack = "DA001"                              # of its pollutants
    unit = "S1"                                  # of its signals
    minute_interval = "10min"                    # what one record of 2051 stands for
    data_time = "start"                          # or "end": some loggers name a period by its end
    codes.a00000 = { unit = "m3/h" }             # where the unit is not that of table 4.9
    codes.g12001 = { stack = "IN01", channel = "nox" }
    flags.P = "F"                                # a flag that is not in table 8

Reading packets by it is `edge.hj212.rows`' work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from edge.hj212.codes import AS_IT_IS, Scale, channel_of_unknown, code_of, is_signal
from edge.hj212.mapped import Why
from edge.stamps import parse_step
from edge.units import unit_of
from plant.channels import CHANNELS, FLAGS
from plant.errors import BadDocument
from plant.reading import Reader

AIR_SOURCE: Final = "31"
MINUTE_INTERVALS_S: Final = tuple(60 * n for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30))
_AMOUNTS: Final = {"kg": AS_IT_IS, "g": Scale(by=Decimal(1000)), "t": Scale(Decimal(1000)), "m3": AS_IT_IS}
_COLUMNS: Final = frozenset(
    {"kind", "schema", "session", "seq", "low", "rows_before", "dropped_before", "sent_at", "stack", "sampled_at"}
    | {"interval_s", "flag", "flags", "state", "instrument", "revision"}
)
"""Columns of a frame that are no channel (contract, section 3)."""
_REMEMBERED: Final = 1024
"""Codes whose target is kept: a peer that invents codes must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the values of one code go: a channel of a stack, or a signal of a unit or stack."""

    channel: str | None  #: None: a signal
    signal: str
    stack: str | None
    unit: str | None = None
    scale: Scale = AS_IT_IS
    amount: Scale | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logger:
    """One data logger, by its MN."""

    mn: str
    stack: str | None = None
    unit: str | None = None  #: of its signals
    codes: Mapping[str, Target] = field(default_factory=dict)  #: before table 4.9
    systems: frozenset[str] = frozenset({AIR_SOURCE})  #: ST whose pollutants are those of the stack
    realtime_interval_s: int | None = None  #: None: that of the stack in the register
    minute_interval_s: int = 600
    stamped_at_end: bool = False  #: DataTime of a mean is the end of its period
    flags: Mapping[str, str] = field(default_factory=dict)  #: to those of table 8
    _known: dict[tuple[str, bool], Target | Why] = field(default_factory=dict, repr=False, compare=False)

    def place(self, code: str, *, own_system: bool) -> Target | Why:
        """Where *code* goes, or why nowhere. *own_system*: it came under an ST of `systems`."""
        try:
            return self._known[code, own_system]
        except KeyError:
            found = self._place(code, own_system)
            if len(self._known) < _REMEMBERED:
                self._known[code, own_system] = found
            return found

    def _place(self, code: str, own_system: bool) -> Target | Why:
        target = self.codes.get(code) or self.by_table(code)
        if target is None:
            return Why.NAME
        if target.channel is not None and not (own_system or code in self.codes):
            return Why.OTHER_SYSTEM
        if target.stack is None and (target.channel is not None or target.unit is None):
            return Why.NO_STACK
        return target

    def by_table(self, code: str) -> Target | None:
        """What *code* is where the site says nothing of it; None for one whose name cannot be one of ours."""
        if is_signal(code):
            return Target(channel=None, signal=code, stack=self.stack, unit=self.unit)
        if entry := code_of(code):
            return Target(channel=entry.channel, signal=code, stack=self.stack, scale=entry.scale, amount=entry.amount)
        channel = channel_of_unknown(code)
        return None if channel is None else Target(channel=channel, signal=code, stack=self.stack)


def read_logger(table: Reader) -> Logger:
    """The logger that *table* describes; faults are noted there. Leaves other keys, and `finish`, to the caller."""
    plain = Logger(
        mn=table.text("mn"),
        stack=table.identifier("stack") if "stack" in table else None,
        unit=table.identifier("unit") if "unit" in table else None,
        systems=frozenset(table.texts("systems", (AIR_SOURCE,))),
        realtime_interval_s=_seconds(table, "realtime_interval", None),
        minute_interval_s=_seconds(table, "minute_interval", 600) or 600,
        stamped_at_end=table.one_of("data_time", ("start", "end"), "start") == "end",
        flags=_flags(table.table("flags")),
    )
    if plain.minute_interval_s not in MINUTE_INTERVALS_S:
        table.fault("minute_interval", "must be 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30 min (HJ 212, command 1063)")
    codes = {code: _target(code, entry, plain) for code, entry in table.table("codes").entries()}
    if plain.stack is None and not any(target.stack for target in codes.values()):
        table.fault("stack", "is required, or one in codes.CODE: the stack that is measured")
    return replace(plain, codes=codes)


def _seconds(table: Reader, key: str, default: int | None) -> int | None:
    if key not in table:
        return default
    try:
        return max(1, parse_step(table.text(key)) // 1000)
    except BadDocument as error:
        table.fault(key, error.faults[0].message)
        return default


def _flags(table: Reader) -> dict[str, str]:
    flags = {flag: table.one_of(flag, sorted(FLAGS)) for flag in table.names()}
    for flag in sorted(FLAGS & flags.keys()):
        table.fault(flag, "is a flag of table 8 already: its meaning cannot be changed")
    return flags


def _target(code: str, table: Reader, logger: Logger) -> Target:
    """What the site says about *code*, the table's word for what it leaves out."""
    usual = logger.by_table(code)
    channel = table.identifier("channel") if "channel" in table else usual.channel if usual else None
    same = usual is not None and channel == usual.channel
    target = Target(
        channel=channel,
        signal=table.identifier("signal", code),
        stack=table.identifier("stack") if "stack" in table else logger.stack,
        unit=logger.unit,
        scale=usual.scale if same and usual else AS_IT_IS,
        amount=usual.amount if same and usual else AS_IT_IS if channel in CHANNELS else None,
    )
    if "signal" in table:
        target = replace(target, channel=None, scale=AS_IT_IS, amount=None)
    if "unit" in table:
        target = replace(target, scale=_scale(target, table))
    if "amount_unit" in table:
        target = replace(target, amount=_AMOUNTS[table.one_of("amount_unit", _AMOUNTS)])
    if target.channel in _COLUMNS:
        table.fault("channel", f"{target.channel!r} is the name of a column, not of a channel")
    if target.channel is not None and target.stack is None:
        table.fault("stack", "is required: the logger has none of its own")
    table.finish()
    return target


def _scale(target: Target, table: Reader) -> Scale:
    name = table.text("unit")
    if target.channel is None:
        table.fault("unit", "belongs to a channel: a signal is kept as it comes")
        return AS_IT_IS
    try:
        return Scale.of(unit_of(target.channel, name))
    except BadDocument as error:
        table.fault("unit", error.faults[0].message)
        return AS_IT_IS
