"""What the two sides say, typed: requests, uploads, notices and the replies to them; and the same read from a packet.

A reply carries the QN of what it answers, ST=91 and a Flag without bit A (4.6). When to send which is the business of
server, client and uplink; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edge.hj212.commands import SPECS, Command, ExeRtn, Form, Kind, QnRtn
from edge.hj212.decoder import Packet
from edge.hj212.encoder import can_be_written
from edge.hj212.segment import Group, Segment, Value, Version, flag_of
from edge.hj212.times import data_time, epoch_ms

INTERACTION: Final = "91"  #: ST of every reply (4.5)
Parameter = int | str
_LONGEST: Final = 64  #: characters of a header value that is sent back


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A packet as a command. `parameters`: those that the command names, times as epoch [ms]; `records`: all other
    groups, untouched. A parameter that is not in its form is text."""

    command: Command
    kind: Kind
    parameters: Mapping[str, Parameter]
    records: tuple[Group, ...]

    @property
    def qn_rtn(self) -> QnRtn:
        """Of a 9011; unknown numbers are `UNKNOWN`."""
        value = self.parameters.get("QnRtn")
        return QnRtn(value) if value in tuple(QnRtn) else QnRtn.UNKNOWN

    @property
    def exe_rtn(self) -> ExeRtn:
        """Of a 9012; unknown numbers are `FAILED`: "failed, reason unknown"."""
        value = self.parameters.get("ExeRtn")
        return ExeRtn(value) if value in tuple(ExeRtn) else ExeRtn.FAILED


def message(packet: Packet) -> Message | None:
    """*packet* as a command; None where its number is unknown."""
    command = packet.command
    if command is None:
        return None
    forms = SPECS[command].parameters
    parameters: dict[str, Parameter] = {}
    records: list[Group] = []
    for group in packet.fields:
        known = {name: value for name, value in group.items() if name in forms and isinstance(value, str)}
        parameters.update({name: _typed(value, forms[name]) for name, value in known.items()})
        if rest := {name: value for name, value in group.items() if name not in known}:
            records.append(rest)
    kind = _kind(command, parameters, records)
    return Message(command=command, kind=kind, parameters=parameters, records=tuple(records))


def exchange_of(packet: Packet) -> str | None:
    """The QN of the exchange that *packet* belongs to; replies of 2005 have it in the data area."""
    if packet.qn is not None:
        return packet.qn
    found = (group["QN"] for group in packet.fields if "QN" in group)
    return next((qn for qn in found if isinstance(qn, str)), None)


def _kind(command: Command, parameters: Mapping[str, Parameter], records: Iterable[Group]) -> Kind:
    """A command that goes both ways is an upload where it brings something."""
    kinds = SPECS[command].kinds
    if len(kinds) == 1:
        return kinds[0]
    asked = {"BeginTime", "EndTime", "PolId", "InfoId"}
    return Kind.UPLOAD if set(parameters) - asked or any(records) else Kind.REQUEST


def _typed(text: str, form: Form) -> Parameter:
    if form is Form.INTEGER and text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    if form is Form.TIME and (at_ms := epoch_ms(text)) is not None:
        return at_ms
    return text


def build(
    command: Command,
    *,
    qn: str,
    st: str,
    mn: str,
    pw: str,
    version: Version = Version.HJ_2017,
    reply_wanted: bool = True,
    resend: bool = False,
    parameters: Mapping[str, Parameter] | None = None,
    records: Iterable[Group] = (),
) -> Segment:
    """A request, upload or notice: *parameters* first, each a group of its own, times as epoch [ms]; then *records*."""
    groups: list[Mapping[str, Value]] = [
        {name: _written(value, SPECS[command].parameters.get(name))} for name, value in (parameters or {}).items()
    ]
    flag = flag_of(version, reply_wanted=reply_wanted)
    return Segment(qn=qn, st=st, cn=command, pw=pw, mn=mn, flag=flag, resend=resend, fields=(*groups, *records))


def _written(value: Parameter, form: Form | None) -> str:
    return data_time(value) if form is Form.TIME and isinstance(value, int) else str(value)


def reply(packet: Packet, command: Command, parameters: Mapping[str, Parameter] | None = None) -> Segment:
    """An answer to *packet*, in its version of the standard, under its QN; it can always be written.

    In 2005 the number of the exchange stands in the data area (`CP=&&QN=...&&`) and Flag is left out. What a peer put
    into its header and nobody could read back is not repeated.
    """
    version = packet.version or Version.HJ_2017
    groups: list[Mapping[str, Value]] = [{name: str(value)} for name, value in (parameters or {}).items()]
    old = version is Version.HJT_2005
    exchange = _repeated(exchange_of(packet))
    if old and exchange:
        groups.insert(0, {"QN": exchange})
    return Segment(
        qn=None if old else exchange,
        st=INTERACTION,
        cn=command,
        pw=_repeated(packet.pw) or "",
        mn=_repeated(packet.mn) or "",
        flag=None if old else flag_of(version),
        fields=tuple(groups),
    )


def _repeated(value: str | None) -> str | None:
    """A header value of a peer as we send it back."""
    return value if value is not None and len(value) <= _LONGEST and can_be_written(value) else None


def request_reply(packet: Packet, answer: QnRtn) -> Segment:
    """9011: whether a request will be executed."""
    return reply(packet, Command.REQUEST_REPLY, {"QnRtn": int(answer)})


def execution_result(packet: Packet, result: ExeRtn) -> Segment:
    """9012: how that ended; under the QN of the request."""
    return reply(packet, Command.EXECUTION_RESULT, {"ExeRtn": int(result)})


def notice_reply(packet: Packet) -> Segment:
    """9013: a notice or a heartbeat came."""
    return reply(packet, Command.NOTICE_REPLY)


def data_reply(packet: Packet) -> Segment:
    """9014: data came."""
    return reply(packet, Command.DATA_REPLY)


def acknowledgement(packet: Packet) -> Segment | None:
    """What *packet* is owed when it was taken: nothing where bit A of Flag is not set, or a request or reply came."""
    said = message(packet)
    if said is None or not packet.reply_wanted:
        return None
    if said.kind is Kind.UPLOAD:
        return data_reply(packet)
    return notice_reply(packet) if said.kind is Kind.NOTICE else None
