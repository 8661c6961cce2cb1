"""The exchanges of HJ 212 without I/O: who may speak, what is owed to a packet, and how a request goes on.

    request   ours ─▶ 9011 ─▶ uploads, each acknowledged ─▶ 9012      again after 10 s, three times (4.6)
    upload    theirs ─▶ 9014 once its rows are kept
    notice    theirs ─▶ 9013

Silence and refusal. Where the check value is wrong, processing ends (4.1): no answer, whatever the header seems to say,
and the peer sends again. A host has no way to refuse an upload (9011 goes from field to host), so a wrong MN or
password is answered by the end of the connection.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.hj212.commands import Command, ExeRtn, Kind, QnRtn
from edge.hj212.decoder import Packet
from edge.hj212.messages import Message, acknowledgement, exchange_of, message
from edge.hj212.peers import Peer
from edge.hj212.segment import Segment
from edge.hj212.times import qn

TIMEOUT_S: Final = 10.0
RETRIES: Final = 3
EXECUTION_S: Final = 60.0
"""Without anything of an exchange after its 9011: it is given up."""


class Refusal(StrEnum):
    """Why nothing of a packet was taken. Counted like faults."""

    CRC = "refused_crc"
    MN = "refused_mn"
    PASSWORD = "refused_password"

    @property
    def cuts(self) -> bool:
        """Whether the connection ends."""
        return self is not Refusal.CRC


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A packet of somebody who may speak."""

    packet: Packet
    peer: Peer
    said: Message | None  #: None: a command that we do not know
    answer: Segment | None  #: owed once what it brings is kept

    @property
    def kind(self) -> Kind | None:
        return None if self.said is None else self.said.kind


def judge(packet: Packet, peers: Mapping[str, Peer]) -> Heard | Refusal:
    """Who speaks, by MN and password, and what is owed."""
    peer = peers.get(packet.mn or "")
    if not packet.crc_ok or (peer is not None and packet.crc_variant not in peer.checks):
        return Refusal.CRC
    if peer is None:
        return Refusal.MN
    if not hmac.compare_digest((packet.pw or "").encode(), peer.password.encode()):
        return Refusal.PASSWORD
    return Heard(packet=packet, peer=peer, said=message(packet), answer=acknowledgement(packet))


class Numbers:
    """Numbers of exchanges (QN): times to the millisecond, none twice."""

    def __init__(self) -> None:
        self._last_ms = 0

    def next(self, now_ms: int) -> str:
        self._last_ms = max(now_ms, self._last_ms + 1)
        return qn(self._last_ms)


class End(StrEnum):
    """How an exchange ended."""

    DONE = "done"
    NO_DATA = "no_data"
    REFUSED = "refused"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


_ENDS: Final = {ExeRtn.DONE: End.DONE, ExeRtn.NO_DATA: End.NO_DATA}


class Exchange:
    """One request of ours until it ended. Times are arguments; sending is the caller's."""

    def __init__(
        self,
        request: Segment,
        *,
        now_s: float,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        execution_s: float = EXECUTION_S,
    ) -> None:
        self.request = request
        self.end: End | None = None
        self.code: QnRtn | ExeRtn | None = None  #: that ended it
        self._timeout_s, self._retries, self._execution_s = timeout_s, retries, execution_s
        self._accepted = False
        self._due_s = now_s + timeout_s

    def due_in_s(self, now_s: float) -> float:
        """How long until `tick` has something to do."""
        return max(0.0, self._due_s - now_s)

    def tick(self, now_s: float) -> Segment | None:
        """The request once more, where that is due; the end, where it has been long enough."""
        if self.end is not None or now_s < self._due_s:
            return None
        if self._accepted or self._retries == 0:
            self.end = End.TIMED_OUT
            return None
        self._retries -= 1
        self._due_s = now_s + self._timeout_s
        return self.request

    def hear(self, heard: Heard, *, now_s: float) -> bool:
        """Take a packet that may belong to this; whether it does."""
        packet, said = heard.packet, heard.said
        if said is None or self.end is not None:
            return False
        upload = said.kind is Kind.UPLOAD and packet.cn == self.request.cn
        if not upload and (said.kind is not Kind.REPLY or exchange_of(packet) != self.request.qn):
            return False
        self._accepted = True  # also by an upload: its 9011 may have been lost
        self._due_s = now_s + self._execution_s
        if said.command is Command.REQUEST_REPLY and said.qn_rtn is not QnRtn.READY:
            self.end, self.code = End.REFUSED, said.qn_rtn
        if said.command is Command.EXECUTION_RESULT:
            self.end, self.code = _ENDS.get(said.exe_rtn, End.FAILED), said.exe_rtn
        return True
