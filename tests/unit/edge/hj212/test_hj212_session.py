"""The exchanges of a host, by hand: who is believed, what is owed, when a request goes again and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge.hj212.commands import Command, ExeRtn, QnRtn
from edge.hj212.decoder import Packet
from edge.hj212.encoder import encode
from edge.hj212.loggers import Logger
from edge.hj212.messages import build, execution_result, request_reply
from edge.hj212.peers import Peer
from edge.hj212.segment import Segment
from edge.hj212.session import End, Exchange, Heard, Numbers, Refusal, judge
from fakes.hj212_logger import AT_MS, MN, PASSWORD, a_reading, an_hour
from fakes.hj212_streams import one_of

PEER = Peer(logger=Logger(mn=MN, stack="DA001"), password=PASSWORD)
PEERS = {MN: PEER}


def heard(segment: Segment) -> Heard:
    found = judge(one_of(encode(segment)), PEERS)
    assert isinstance(found, Heard)
    return found


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        pytest.param({"mn": "other"}, Refusal.MN, id="unknown_mn"),
        pytest.param({"pw": "1234567"}, Refusal.PASSWORD, id="wrong_password"),
        pytest.param({"pw": ""}, Refusal.PASSWORD, id="empty_password"),
        pytest.param({"pw": "密码"}, Refusal.PASSWORD, id="password_of_other_letters"),
    ],
)
def test_a_stranger_is_not_heard(changed: dict[str, Any], refusal: Refusal) -> None:
    assert judge(one_of(encode(an_hour(AT_MS, **changed))), PEERS) is refusal
    assert refusal.cuts


def test_a_wrong_check_value_hides_the_stranger() -> None:
    spoilt = encode(an_hour(AT_MS, mn="other")).replace(b"-Avg=", b"-Avg=1", 1)
    assert judge(one_of(spoilt), PEERS) is Refusal.CRC
    assert not Refusal.CRC.cuts


def test_what_is_owed_is_a_reply_to_what_wants_one() -> None:
    said = heard(an_hour(AT_MS))
    assert said.answer is not None
    assert (said.answer.cn, said.answer.qn) == (Command.DATA_REPLY, an_hour(AT_MS).qn)
    assert heard(replace(an_hour(AT_MS), flag=4)).answer is None
    assert heard(replace(an_hour(AT_MS), cn="7777")).answer is None


def test_numbers_of_exchanges_never_repeat_even_when_the_clock_stands_or_goes_back() -> None:
    numbers = Numbers()
    given = [numbers.next(at_ms) for at_ms in (AT_MS, AT_MS, AT_MS - 5_000, AT_MS + 1)]
    assert given == sorted(set(given))
    assert given[0] == "20261120160000000"


REQUEST = build(Command.HOUR_DATA, qn="20261120160000000", st="31", mn=MN, pw=PASSWORD)


def an_exchange() -> Exchange:
    return Exchange(REQUEST, now_s=0.0, timeout_s=10.0, retries=3, execution_s=60.0)


def asked() -> Packet:
    return one_of(encode(REQUEST))


def test_a_request_goes_again_three_times_and_is_then_given_up() -> None:
    exchange = an_exchange()
    assert exchange.tick(9.9) is None
    assert [exchange.tick(at) for at in (10.0, 20.0, 30.0)] == [REQUEST] * 3
    assert exchange.end is None
    assert exchange.tick(40.0) is None
    assert exchange.end is End.TIMED_OUT


def test_a_request_that_was_taken_is_not_sent_again() -> None:
    exchange = an_exchange()
    assert exchange.hear(heard(request_reply(asked(), QnRtn.READY)), now_s=1.0)
    assert exchange.tick(60.9) is None
    assert exchange.end is None
    assert exchange.tick(61.0) is None
    assert exchange.end is End.TIMED_OUT


def test_each_upload_gives_it_more_time_also_where_its_first_reply_was_lost() -> None:
    exchange = an_exchange()
    for minute in range(1, 10):
        assert exchange.hear(heard(an_hour(AT_MS)), now_s=9.0 + 59.0 * (minute - 1))
        assert exchange.tick(9.0 + 59.0 * minute) is None
    assert exchange.end is None


@pytest.mark.parametrize(
    ("result", "end"),
    [(ExeRtn.DONE, End.DONE), (ExeRtn.NO_DATA, End.NO_DATA), (ExeRtn.BUSY, End.FAILED), (ExeRtn.FAILED, End.FAILED)],
)
def test_it_ends_by_its_result(result: ExeRtn, end: End) -> None:
    exchange = an_exchange()
    exchange.hear(heard(execution_result(asked(), result)), now_s=1.0)
    assert (exchange.end, exchange.code) == (end, result)


def test_a_refusal_ends_it_with_its_code() -> None:
    exchange = an_exchange()
    exchange.hear(heard(request_reply(asked(), QnRtn.CN_WRONG)), now_s=1.0)
    assert (exchange.end, exchange.code) == (End.REFUSED, QnRtn.CN_WRONG)
    assert exchange.tick(1000.0) is None


def test_what_belongs_to_others_does_not_touch_it() -> None:
    exchange = an_exchange()
    other = one_of(encode(replace(REQUEST, qn="20261120160000999")))
    assert not exchange.hear(heard(request_reply(other, QnRtn.REFUSED)), now_s=1.0)
    assert not exchange.hear(heard(a_reading(AT_MS)), now_s=1.0)
    assert exchange.tick(10.0) == REQUEST
