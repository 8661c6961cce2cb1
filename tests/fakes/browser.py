"""A real browser, headless, spoken to over its own debugging protocol: open a page, ask it, click in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
)
START_S: Final = 30.0
ANSWER_S: Final = 20.0
SHOWN: Final = "document.body?.innerText ?? ''"  #: a page that is being loaded has no body yet


def installed() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page; `eval` runs JavaScript in it, `until` waits for what it shows."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    def command(self, method: str, **params: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=ANSWER_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def eval(self, script: str) -> Any:
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self) -> str:
        return str(self.eval(SHOWN))

    def until(self, script: str, deadline_s: float = 30.0) -> None:
        """Wait until *script* is true in the page; else fail with what the page shows."""
        end = time.monotonic() + deadline_s
        while not self.eval(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}\n{self.text()}"
            time.sleep(0.1)

    def until_shown(self, text: str, deadline_s: float = 30.0) -> None:
        self.until(f"({SHOWN}).includes({json.dumps(text)})", deadline_s)


@contextmanager
def open_page(url: str, profile: Path) -> Iterator[Page]:
    """A browser of its own with *url* open."""
    program = installed()
    assert program is not None
    browser = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = _port(profile / "DevToolsActivePort", browser)
        with connect(f"ws://127.0.0.1:{port}{_target(port)}", max_size=None) as socket:
            page = Page(socket)
            page.command("Page.enable")
            page.command("Page.navigate", url=url)
            yield page
    finally:
        browser.terminate()
        with suppress(subprocess.TimeoutExpired):
            browser.wait(10)
        browser.kill()
        browser.wait()


def _port(file: Path, browser: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + START_S
    while True:
        with suppress(FileNotFoundError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        assert browser.poll() is None, "the browser ended"
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)


def _target(port: int) -> str:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ANSWER_S) as answer:
        pages = [target for target in json.load(answer) if target["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"]).split(str(port), 1)[1]
