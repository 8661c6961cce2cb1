"""The status page of an edge: on loopback, to look at and never to change anything; English and Chinese.

Two answers, `/` and `/status.json`, over as much HTTP as that takes. A request names this machine as its host, or it is
refused: a page from elsewhere in a browser here must not read it by a name that it points at loopback.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from edge.status_words import WORDS, Language, Words
from plant.figures import Figure

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})
_MOST_HEAD: Final = 8_192
_DEADLINE_S: Final = 5.0
_MOST_AT_ONCE: Final = 16
_REASONS: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#1a1a1a}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin:1.5em 0 .3em}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25em .8em .25em 0;border-bottom:1px solid #ccc}"
    "th{font-weight:600;width:15em}.bad{color:#a40000;font-weight:600}.good{color:#0a5d00}pre{white-space:pre-wrap;margin:0;font:inherit}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}.bad{color:#ff8a80}.good{color:#8fdc85}"
    "th,td{border-color:#444}a{color:#9ecbff}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = (
    "Cache-Control: no-store",
    f"Content-Security-Policy: default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Connection: close",
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    kind: str
    body: bytes


def answer(head: bytes, status: Mapping[str, Any]) -> tuple[str, Answer]:
    """The method asked for, and what to answer to the request *head*; *status* as `edge.status` makes it."""
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target, _, protocol = rest.partition(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if not protocol.startswith("HTTP/1.") or not target.startswith("/"):
        return method, _plain(400, "no HTTP/1.1 request")
    if method not in ("GET", "HEAD"):
        return method, _plain(405, "this page is for looking only")
    if _host_of(headers.get("host", "")) not in _HOSTS:
        return method, _plain(403, f"ask for this page at {HOST}")
    try:
        parts = urlsplit(target)
    except ValueError:
        return method, _plain(400, "no address")
    if parts.path == "/status.json":
        body = json.dumps(status, ensure_ascii=False, indent=1).encode("utf-8", "replace")
        return method, Answer(200, "application/json", body)
    if parts.path == "/":
        language = _language(parse_qs(parts.query).get("lang", [""])[0], headers.get("accept-language", ""))
        return method, Answer(200, "text/html; charset=utf-8", page(status, language).encode("utf-8", "replace"))
    return method, _plain(404, "there are / and /status.json")


class StatusPage:
    """Serves while it is entered; `OSError` on entering when the port is taken. Port 0 takes a free one."""

    def __init__(self, status: Callable[[], Awaitable[Mapping[str, Any]]], *, port: int) -> None:
        self.port = port
        self._status = status
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> StatusPage:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=_MOST_HEAD, backlog=_MOST_AT_ONCE)
        self.port = self._server.sockets[0].getsockname()[1]
        logger.info("status_page_opened", extra={"url": f"http://{HOST}:{self.port}/"})
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST_AT_ONCE:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_DEADLINE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    method, given = answer(head, await self._status())
                    writer.write(_bytes_of(given, with_body=method != "HEAD"))
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()


def page(status: Mapping[str, Any], language: Language = "en") -> str:
    """The document *status* for people."""
    words = WORDS[language]
    other: Language = "zh" if language == "en" else "en"
    title = escape(f"{status['site']} / {status['edge']}")
    parts = (
        f'<p><a href="/?lang={other}">{WORDS[other]["language"]}</a> · <a href="/status.json">status.json</a></p>',
        f"<h1>{title}: {_good(status['ok'], words['all_well'], words['look_here'])}</h1>",
        _section(words["orders"], _orders(status, words)),
        _section(words["sources"], _sources(status["sources"], words)),
        _section(words["data"], _rows(_data(status, words))),
        _section(words["this_edge"], _rows(_edge(status, words))),
        f"<p>{escape(words['no_control'])}</p>",
    )
    return (
        f'<!doctype html><html lang="{words["html_lang"]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="10">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _orders(status: Mapping[str, Any], words: Words) -> str:
    orders, hook = status["orders"], status["hook"]
    if not orders["followed"]:
        return f'<p class="bad">{escape(words["not_followed"])}</p>'
    known = [(words["list_version"], f"{orders['version']} {escape(orders['issued_at'])}")]
    if orders["rejected"]:
        why = f"{orders['rejected']} {orders['last_rejected_at']} {orders['last_rejection']}"
        known.append((words["rejected"], _bad(why)))
    if hook is not None:
        last = hook["last"]
        told = words["nothing_told"] if last is None else _told(last, words)
        known.append((words["hook"], _good(hook["ok"], told, told)))
    shown = "".join(_rows(_order(order, words)) for order in orders["in_force"])
    return _rows(known) + (shown or f"<p>{escape(words['no_orders'])}</p>")


def _order(order: Mapping[str, Any], words: Words) -> Iterable[tuple[str, str]]:
    units = ", ".join(
        f"{unit['unit']}: {unit['mode']}" + ("" if unit["value"] is None else f" {unit['value']:g}")
        for unit in order["units"]
    )
    named = words.get(f"order_{order['order']}", order["order"])
    yield words["order"], f"<strong>{escape(named)}</strong> {escape(order['order_id'])}"
    yield words["units"], escape(units)
    for key in ("effective_from", "safe_state_by", "until"):
        yield words[key], escape(order[key] or "–")
    yield words["basis"], escape(order["basis"] or "–")
    yield words["text"], f"<pre>{escape(order['text'] or '–')}</pre>"


def _sources(sources: Mapping[str, Mapping[str, Any]], words: Words) -> str:
    rows = []
    for name, state in sources.items():
        tolerated = ", ".join(f"{kind} {times}" for kind, times in state["tolerated"].items())
        extra = f"<br>{escape(words['tolerated'])}: {escape(tolerated)}" if tolerated else ""
        again = f" ({escape(words['restarts'])} {state['restarts']})" if state["restarts"] else ""
        said = _good(state["ok"], state["detail"] or words["well"], state["detail"] or words["not_well"])
        figures = "".join(
            f"<br>{escape(_figure(key, value, words))}" for key, value in state.get("figures", {}).items()
        )
        rows.append((f"{name} ({state['kind']})", said + again + figures + extra))
    return _rows(rows) or f"<p>{escape(words['no_sources'])}</p>"


def _figure(key: str, value: Figure, words: Words) -> str:
    """One thing that a source says beyond well or not: a flag, a number, words, or counts by kind."""
    if isinstance(value, bool):
        shown = words["yes" if value else "no"]
    elif isinstance(value, dict):
        shown = ", ".join(f"{kind} {times}" for kind, times in value.items())
    else:
        shown = "" if value is None else str(value)
    return f"{words.get(f'figure_{key}', key.replace('_', ' '))}: {shown or '–'}"


def _data(status: Mapping[str, Any], words: Words) -> Iterable[tuple[str, str]]:
    link, outbox, receipt = status["link"], status["outbox"], status["receipt"]
    where = ", ".join(link["broker"])
    connection = f"{where}: {words['connected' if link['connected'] else 'not_connected']}"
    yield words["broker"], _good(link["connected"], connection, connection)
    yield (
        words["waiting"],
        escape(f"{outbox['rows']} ({outbox['bytes'] / 1e6:.1f} / {outbox['max_bytes'] / 1e6:.0f} MB)"),
    )
    age = outbox["oldest_age_s"]
    yield words["oldest"], escape("–" if age is None else f"{age} s")
    yield words["settled"], escape(f"{receipt['settled_rows']}")
    seen = receipt["last_age_s"]
    yield words["last_receipt"], escape("–" if seen is None else f"{seen:.0f} s")
    yield words["dropped"], str(outbox["dropped"]) if not outbox["dropped"] else _bad(str(outbox["dropped"]))
    yield words["refused"], str(outbox["refused"]) if not outbox["refused"] else _bad(str(outbox["refused"]))


def _edge(status: Mapping[str, Any], words: Words) -> Iterable[tuple[str, str]]:
    clock, file = status["clock"], status["agent_file"]
    kept = {True: words["clock_kept"], False: words["clock_loose"], None: words["clock_unknown"]}[clock["synchronised"]]
    yield (
        words["clock"],
        _good(clock["synchronised"] is not False, f"{clock['now']} · {kept}", f"{clock['now']} · {kept}"),
    )
    yield words["agent_file"], _good(file["ok"], words["in_use"], f"{words['old_in_use']}: {file['detail']}")
    yield words["version"], escape(f"{status['version']} · {status['session']}")


def _told(last: Mapping[str, Any], words: Words) -> str:
    event = words.get(f"event_{last['event']}", last["event"])
    return f"{last['at']} {event} {last['order_id']}: {last['detail']}"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{body}"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and HTML."""
    listed = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{listed}</table>" if listed else ""


def _good(ok: bool, well: str, badly: str) -> str:
    return f'<span class="good">{escape(well)}</span>' if ok else _bad(badly)


def _bad(text: str) -> str:
    return f'<span class="bad">{escape(text)}</span>'


def _language(asked: str, accepted: str) -> Language:
    if asked in WORDS:
        return "zh" if asked == "zh" else "en"
    return "zh" if accepted.strip().lower().startswith("zh") else "en"


def _host_of(header: str) -> str:
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def _plain(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def _bytes_of(given: Answer, *, with_body: bool) -> bytes:
    first = f"HTTP/1.1 {given.status} {_REASONS[given.status]}"
    sized = (f"Content-Type: {given.kind}", f"Content-Length: {len(given.body)}")
    head = "\r\n".join((first, *sized, *_HEADERS, "", "")).encode("latin-1")
    return head + given.body if with_body else head
