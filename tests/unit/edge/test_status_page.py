from __future__ import annotations

import asyncio
import contextlib
import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.status_page import Answer, StatusPage, answer, page
from edge.status_words import WORDS

pytestmark = pytest.mark.anyio


_LAST_CALL = {"ok": False, "at": "2026-11-21T08:00:00Z", "event": "ended", "order_id": "o-1", "detail": "ended with 9"}


def a_status(**changes: Any) -> dict[str, Any]:
    order = {
        "order_id": "o-1",
        "case": "c-1",
        "order": "suspend",
        "units": [{"unit": "S1", "mode": "max_load", "value": 60.0}],
        "effective_from": "2026-11-21T00:00:00Z",
        "safe_state_by": None,
        "until": None,
        "basis": "fictional",
        "text": "停产 <script>alert(1)</script>",
    }
    return {
        "site": "works-1",
        "edge": "gateway-1",
        "version": "0.1.0",
        "ok": False,
        "session": "b1946ac9",
        "clock": {"now": "2026-11-21T08:00:00Z", "zone": "+0800", "synchronised": False},
        "link": {"broker": ["broker.example:8883"], "tls": True, "connected": True, "connections": 1},
        "outbox": {
            "frames": 3,
            "rows": 600,
            "bytes": 41_000,
            "max_bytes": 1 << 30,
            "policy": "drop_oldest",
            "oldest": 1_795_161_600_000,
            "oldest_age_s": 30,
            "made": 1000,
            "dropped": 7,
            "refused": 0,
        },
        "receipt": {
            "settled_frames": 2,
            "settled_rows": 400,
            "in_flight": 3,
            "sent": 5,
            "sent_again": 0,
            "last_age_s": 1.25,
        },
        "sources": {
            "logger": {"kind": "hj212.listen", "ok": False, "detail": "<b>", "tolerated": {"crc": 4}, "restarts": 2}
        },
        "orders": {
            "followed": True,
            "version": 3,
            "issued_at": "2026-11-21T00:00:00Z",
            "acknowledged": True,
            "rejected": 1,
            "last_rejection": "the signature does not fit",
            "last_rejected_at": "2026-11-21T07:00:00Z",
            "in_force": [order],
        },
        "hook": {"ok": True, "detail": "", "calls": 0, "failures": 0, "last": None},
        "agent_file": {"ok": False, "detail": "status.port: must be a whole number", "reloads": 0},
        **changes,
    }


def asked(target: str = "/", *headers: str, method: str = "GET", host: str = "127.0.0.1:8090") -> Answer:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return answer("\r\n".join(lines).encode("latin-1"), a_status())[1]


class Texts(HTMLParser):
    """The words of a page, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_shows_orders_with_their_text_and_what_is_not_well() -> None:
    found = Texts(page(a_status()))
    said = " ".join(found.words)
    for words in (
        "停产 <script>alert(1)</script>",
        "S1: max_load 60",
        "the signature does not fit",
        "not synchronised",
        "status.port: must be a whole number",
        "tolerated faults: crc 4",
        "broker.example:8883",
        "600 (0.0 / 1074 MB)",
    ):
        assert words in said
    assert found.open == []
    assert "script" not in found.tags


def test_what_a_source_says_beyond_well_or_not_is_shown_in_the_language_of_the_page() -> None:
    figures = {"connected": False, "last_confirmed": None, "refused": {"4": 3}, "own_figure": 0.5}
    uplink = {"kind": "hj212.uplink", "ok": True, "detail": "", "tolerated": {}, "restarts": 0, "figures": figures}
    english = " ".join(Texts(page(a_status(sources={"bureau": uplink}))).words)
    for words in ("connected: no", "last confirmed: –", "refused, by code: 4 3", "own figure: 0.5"):
        assert words in english
    assert "被拒绝（按代码）: 4 3" in page(a_status(sources={"bureau": uplink}), "zh")


def test_the_page_speaks_the_language_that_is_asked_for() -> None:
    assert b'<html lang="en">' in asked("/").body
    assert "生效中的决定".encode() in asked("/?lang=zh").body
    assert "生效中的决定".encode() in asked("/", "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8").body
    assert b'<html lang="en">' in asked("/?lang=en", "Accept-Language: zh-CN").body


def test_both_languages_have_the_same_words() -> None:
    assert set(WORDS["en"]) == set(WORDS["zh"])
    assert all(text.strip() for words in WORDS.values() for text in words.values())


def test_programs_get_the_same_as_json() -> None:
    given_ = asked("/status.json")
    assert (given_.status, given_.kind) == (200, "application/json")
    assert json.loads(given_.body) == a_status()


@pytest.mark.parametrize(
    ("given_", "status"),
    [
        pytest.param(asked("/", method="POST"), 405, id="nothing_can_be_changed"),
        pytest.param(asked("/", host="evil.example"), 403, id="a_name_that_was_pointed_at_us"),
        pytest.param(asked("/", host=""), 403, id="no_host"),
        pytest.param(asked("/", host="localhost"), 200, id="localhost"),
        pytest.param(asked("/other"), 404, id="no_such_page"),
        pytest.param(asked("http://127.0.0.1/"), 400, id="as_a_proxy"),
        pytest.param(asked("//["), 400, id="broken_address"),
        pytest.param(answer(b"\r\n\r\n", a_status())[1], 400, id="nothing"),
    ],
)
def test_only_looking_from_this_machine_is_answered(given_: Answer, status: int) -> None:
    assert given_.status == status


@given(head=st.binary(max_size=200))
def test_no_request_is_an_error_of_ours(head: bytes) -> None:
    assert answer(head, a_status())[1].status in (200, 400, 403, 404, 405)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"hook": None, "sources": {}}, id="nothing_else"),
        pytest.param({"orders": {"followed": False, "in_force": []}}, id="orders_not_followed"),
        pytest.param({"hook": {"ok": False, "last": _LAST_CALL}}, id="hook"),
    ],
)
def test_a_page_has_words_for_what_there_is_not(language: Any, changes: dict[str, Any]) -> None:
    assert Texts(page(a_status(**changes), language)).open == []


# ---- over real sockets ----


async def told() -> dict[str, Any]:
    return a_status()


async def ask(port: int, request: bytes) -> bytes:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def test_the_page_is_served_on_loopback_with_a_policy_that_lets_nothing_in() -> None:
    async with StatusPage(told, port=0) as served:
        got = await ask(served.port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Security-Policy: default-src 'none'" in head
        assert f"Content-Length: {len(body)}".encode() in head
        only_head = await ask(served.port, b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert only_head.endswith(b"\r\n\r\n")


async def test_an_endless_request_and_too_many_at_once_are_cut() -> None:
    async with StatusPage(told, port=0) as served:
        assert await ask(served.port, b"GET /" + b"x" * 100_000) == b""
        silent = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(40)]
        async with asyncio.timeout(20):
            ended = [await reader.read() for reader, _ in silent]
        assert ended == [b""] * 40
        for _, writer in silent:
            writer.close()
        assert b"200 OK" in await ask(served.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def test_a_page_that_is_closed_leaves_nobody_waiting() -> None:
    async with StatusPage(told, port=0) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET / HT")
        await writer.drain()
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
