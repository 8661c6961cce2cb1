"""Cards of the page in a real browser, made of documents without a system behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from fakes.browser import Page, installed, open_page

pytestmark = pytest.mark.skipif(installed() is None, reason="no Chromium on this machine: apt-get install chromium")

FIRED: Final = "2026-11-01T00:00:00Z"
ROSE: Final = "2026-11-02T03:00:00Z"
FELL: Final = "2026-11-03T00:00:00Z"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page of the files of `api/pages`, and nothing that answers `/v1`."""
    with (
        resources.as_file(resources.files("api.pages")) as folder,
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server,
    ):
        thread = Thread(target=server.serve_forever, name="pages")
        thread.start()
        try:
            with open_page(f"http://127.0.0.1:{server.server_port}/style.css", tmp_path / "profile") as opened:
                opened.until("location.pathname === '/style.css'")
                opened.eval("sessionStorage.setItem('language', 'en')")
                yield opened
        finally:
            server.shutdown()
            thread.join(10)


def a_budget(*steps: tuple[str, str]) -> dict[str, Any]:
    """An alert that fired on 2 hours, and of which the hour `ROSE` found 36."""
    return {
        "id": "al-1",
        "rule": "budget",
        "severity": steps[-1][1],
        "state": "firing",
        "site": "works",
        "stack": "S1",
        "pollutant": "nox",
        "period_start": FIRED,
        "started_at": FIRED,
        "ended_at": None,
        "clause": "a clause",
        "observed": 2.0,
        "limit": 36.0,
        "unit": "hours above the limit",
        "suppressed_by": None,
        "evidence": {
            "words": {"en": "2 of 36 are used.", "zh": "已用 2"},
            "graver": {
                "hour": ROSE,
                "observed": 36.0,
                "limit": 36.0,
                "evidence": {"left": 0, "words": {"en": "36 of 36 are used.", "zh": "已用 36"}},
            },
            "severity_since": [list(step) for step in steps],
        },
    }


def card_of(page: Page, alert: dict[str, Any]) -> tuple[str, str]:
    """(the card before it is opened, the numbers that open below it)."""
    script = f"import('/view.js').then(({{ alertCard }}) => alertCard({json.dumps(alert)}, null, () => null))"
    whole, folded = page.eval(
        f"{script}.then((card) => {{ const open = card.querySelector('details'); open.remove();"
        " return [card.textContent, open.textContent]; })"
    )
    return whole, folded


def test_an_alert_that_got_graver_says_so_with_the_numbers_that_made_it(page: Page) -> None:
    shown, numbers = card_of(page, a_budget((FIRED, "info"), (ROSE, "critical")))
    assert "36 of 36 are used." in shown
    assert "2 of 36 are used." not in shown
    assert "已用" not in numbers


def test_one_that_is_lighter_again_says_what_it_fired_on(page: Page) -> None:
    shown, _ = card_of(page, a_budget((FIRED, "info"), (ROSE, "critical"), (FELL, "warning")))
    assert "2 of 36 are used." in shown
