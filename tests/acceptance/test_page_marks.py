"""Marks by clicking: the plant files what its rows say, the agency sees what that would change and accepts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from builders import WORKS, a_frame, minutes
from fakes.browser import Page, installed, open_page
from fakes.system import System, until

pytestmark = pytest.mark.skipif(installed() is None, reason="no Chromium on this machine: apt-get install chromium")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path, WORKS)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def publish(system: System, payload: bytes) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", system.mqtt_port)
    client.loop_start()
    client.publish("ule/v1/works/e1/data", payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def press(page: Page, value: str, reason: str) -> None:
    """Tick what is listed and press a button of the marks, with a reason."""
    page.until(f"document.querySelector('#marks:not([hidden]) button[value={value}]') !== null", 60)
    page.eval(
        f"""(() => {{
            const button = document.querySelector('#marks button[value={value}]');
            const card = button.closest('.card');
            card.querySelectorAll('input[type=checkbox]').forEach((box) => box.checked || box.click());
            button.closest('form').querySelector('textarea').value = {reason!r};
            button.click();
        }})()"""
    )


def token_of(system: System, role: str) -> str:
    return system.say("token", "create", "--role", role, "--data", str(system.data)).splitlines()[-1]


@pytest.mark.timeout(300)
def test_a_draft_is_filed_by_the_plant_and_accepted_by_the_agency(system: System, tmp_path: Path) -> None:
    hour = (datetime.now(UTC) - timedelta(hours=4)).replace(minute=0, second=0, microsecond=0)
    clean = minutes(hour.isoformat(), 120, so2=20.0, nox=20.0, pm=3.0, o2=16.0)
    lit = minutes((hour + timedelta(hours=2)).isoformat(), 60, so2=90.0, nox=20.0, pm=3.0, o2=16.0, state="starting")
    publish(system, a_frame([*clean, *lit]))
    until(lambda: len(system.query("SELECT 1 FROM mark_draft")) > 0, 60, "drafts are made")
    with open_page(f"{system.http_url}/#token={token_of(system, 'operator')}", tmp_path / "plant") as page:
        page.until_shown("Drafts of marks")
        page.until_shown("start-up")
        press(page, "file", "strand lit after a planned stop")
        page.until("document.getElementById('marks').innerText.includes('Marks to decide')", 40)
        assert page.eval("document.querySelector('#marks button[value=accepted]')") is None
    with open_page(f"{system.http_url}/#token={token_of(system, 'reviewer')}", tmp_path / "agency") as page:
        page.until_shown("Marks to decide")
        page.until_shown("strand lit after a planned stop")
        page.eval("document.querySelector('#marks details').open = true")
        page.until("document.querySelector('#marks .mark').innerText.includes('SO₂')")
        press(page, "accepted", "the power meter agrees")
        until(lambda: system.query("SELECT DISTINCT status FROM mark") == [("accepted",)], 20, "accepted")
        page.until("document.getElementById('marks').hidden", 40)
        page.eval("document.getElementById('language').click()")
        page.command("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        page.until("document.documentElement.scrollWidth <= 360")
    until(
        lambda: (
            system.query(
                "SELECT DISTINCT reason FROM hour_verdict WHERE verdict = 'excluded' AND superseded_at IS NULL"
            )
            == [("not_running",)]
        ),
        40,
        "the hour is judged again",
    )
    assert system.query("SELECT DISTINCT source FROM mark") == [("auto",)]
