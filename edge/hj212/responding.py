"""What a field unit answers to its platform: pure. Nothing that a platform asks drives anything here.

Read and set: the real-time and minute intervals, timeout and retries; read: the clock; sent again: minutes, hours,
days. Setting the clock and the password are refused: this machine's clock is its time service's, a password stands in
the site's file. What came with a wrong check value is not answered (4.1: processing ends); the other codes of 9011 are
given in the order of the standard's table: password, MN, ST, Flag, QN, CN.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edge.hj212.commands import Command, ExeRtn, Kind, QnRtn
from edge.hj212.decoder import Packet
from edge.hj212.loggers import MINUTE_INTERVALS_S
from edge.hj212.messages import INTERACTION, Message, Parameter, message, notice_reply, request_reply
from edge.hj212.peers import REALTIME_INTERVALS_S
from edge.hj212.segment import Segment, Version, version_of

HISTORY: Final = frozenset({Command.MINUTE_DATA, Command.HOUR_DATA, Command.DAY_DATA})
_MOST_TIMEOUT_S: Final = 3_600
_MOST_RETRIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a platform may set, and we keep."""

    realtime_interval_s: int = 30
    minute_interval_s: int = 600
    timeout_s: int = 10
    retries: int = 3
    realtime: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any], usual: Terms) -> Terms:
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return replace(usual, **known)

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to a platform."""

    mn: str
    password: str = field(repr=False)
    st: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """`reply` goes at once; then `says` (parameters of an upload of the same command) or `history`, then `result`."""

    request: Packet
    reply: Segment | None
    refused: QnRtn | None = None
    says: Mapping[str, Parameter] | None = None
    history: tuple[Command, int, int] | None = None
    result: ExeRtn | None = None
    terms: Terms | None = None  #: new ones


def respond(packet: Packet, identity: Identity, terms: Terms, *, now_ms: int) -> Response | None:
    """None for what is neither request nor notice, and where silence is right."""
    said = message(packet)
    if not packet.crc_ok or (said is not None and said.kind in (Kind.REPLY, Kind.UPLOAD)):
        return None
    if (code := _fault(packet, said, identity)) is not None:
        return Response(request=packet, reply=request_reply(packet, code), refused=code)
    assert said is not None
    if said.kind is Kind.NOTICE:
        stopped = replace(terms, realtime=False) if said.command is Command.STOP_REALTIME_DATA else None
        return Response(request=packet, reply=notice_reply(packet) if packet.reply_wanted else None, terms=stopped)
    done = Response(request=packet, reply=request_reply(packet, QnRtn.READY), result=ExeRtn.DONE)
    if said.command in HISTORY:
        return _history(said, done)
    if (says := _told(said.command, terms, now_ms)) is not None:
        return replace(done, says=says)
    if said.command is Command.REALTIME_DATA:
        return replace(done, terms=replace(terms, realtime=True))
    changed = _changed(said, terms)
    return replace(done, result=ExeRtn.CONDITION_WRONG) if changed is None else replace(done, terms=changed)


def _fault(packet: Packet, said: Message | None, identity: Identity) -> QnRtn | None:
    if not hmac.compare_digest((packet.pw or "").encode(), identity.password.encode()):
        return QnRtn.PW_WRONG
    if packet.mn != identity.mn:
        return QnRtn.MN_WRONG
    if packet.st not in (identity.st, INTERACTION):
        return QnRtn.ST_WRONG
    if version_of(packet.flag) is None:
        return QnRtn.FLAG_WRONG
    if packet.qn is None or len(packet.qn) != 17 or not packet.qn.isdigit():
        return QnRtn.QN_WRONG
    if said is None:
        return QnRtn.CN_WRONG
    if said.kind is Kind.NOTICE or said.command in _CAN:
        return None
    return QnRtn.REFUSED


_SETS: Final = {Command.SET_REALTIME_INTERVAL, Command.SET_MINUTE_INTERVAL, Command.SET_TIMEOUT}
_TELLS: Final = {Command.CLOCK, Command.REALTIME_INTERVAL, Command.MINUTE_INTERVAL}
_CAN: Final = HISTORY | _SETS | _TELLS | {Command.REALTIME_DATA}


def _told(command: Command, terms: Terms, now_ms: int) -> Mapping[str, Parameter] | None:
    match command:
        case Command.CLOCK:
            return {"SystemTime": now_ms}
        case Command.REALTIME_INTERVAL:
            return {"RtdInterval": terms.realtime_interval_s}
        case Command.MINUTE_INTERVAL:
            return {"MinInterval": terms.minute_interval_s // 60}
        case _:
            return None


def _history(said: Message, done: Response) -> Response:
    first, last = said.parameters.get("BeginTime"), said.parameters.get("EndTime")
    if not isinstance(first, int) or not isinstance(last, int) or first > last:
        return replace(done, result=ExeRtn.CONDITION_WRONG)
    return replace(done, history=(said.command, first, last))


def _changed(said: Message, terms: Terms) -> Terms | None:
    """The terms as *said* wants them; None where the standard does not allow that."""
    given = said.parameters
    if said.command is Command.SET_REALTIME_INTERVAL:
        interval, (low, high) = given.get("RtdInterval"), REALTIME_INTERVALS_S
        allowed = isinstance(interval, int) and low <= interval <= high
        return replace(terms, realtime_interval_s=interval) if allowed else None  # type: ignore[arg-type]
    if said.command is Command.SET_MINUTE_INTERVAL:
        minutes = given.get("MinInterval")
        allowed = isinstance(minutes, int) and minutes * 60 in MINUTE_INTERVALS_S
        return replace(terms, minute_interval_s=minutes * 60) if allowed else None  # type: ignore[operator,arg-type]
    timeout, retries = given.get("OverTime"), given.get("ReCount")
    if not isinstance(timeout, int) or not isinstance(retries, int):
        return None
    allowed = 1 <= timeout <= _MOST_TIMEOUT_S and 0 <= retries <= _MOST_RETRIES
    return replace(terms, timeout_s=timeout, retries=retries) if allowed else None
