"""The page in a real browser, on the system as a person runs it, with readings typed in over MQTT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from builders import WORKS, a_frame, minutes
from fakes.browser import installed, open_page
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
    """As any MQTT client would: QoS 1, acknowledged."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", system.mqtt_port)
    client.loop_start()
    client.publish("ule/v1/works/e1/data", payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


@pytest.mark.timeout(300)
def test_an_alert_appears_live_and_a_case_is_worked_by_clicking(system: System, tmp_path: Path) -> None:
    token = system.say(
        *("token", "create", "--role", "watch", "--role", "investigator", "--role", "decider"),
        *("--data", str(system.data)),
    ).splitlines()[-1]
    now = datetime.now(UTC)
    hour = (now - timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    with open_page(f"{system.http_url}/#token={token}", tmp_path / "profile") as page:
        page.until_shown("No alert.")
        page.until("!location.hash.includes('swk_')")
        publish(system, a_frame(minutes(hour.isoformat(), 60, so2=40.0, nox=20.0, pm=3.0, o2=16.0)))
        page.until_shown("Hour above the limit")
        page.until_shown("SO₂ 40")
        page.until("document.querySelector('#books-list tbody th')?.textContent === 'e1'", 60)
        page.until_shown("of 60 rows missing")
        page.eval("document.getElementById('language').click()")
        page.until_shown("去向不明")
        page.until_shown("实时")
        page.eval("document.getElementById('language').click()")

        # Last month wholly above the limit: a breached month opens a case, which is worked here.
        local = now + timedelta(hours=8)
        last = (local.replace(day=1) - timedelta(days=1)).replace(day=1)
        start = datetime(last.year, last.month, 1, tzinfo=UTC) - timedelta(hours=8)
        for day in range((local.replace(day=1).date() - last.date()).days):
            rows = [
                {"stack": "DA001", "sampled_at": (start + timedelta(days=day, hours=h)).isoformat(), "interval_s": 3600}
                | {"so2": 50.0, "nox": 20.0, "pm": 3.0, "o2": 16.0}
                for h in range(24)
            ]
            publish(system, a_frame(rows))
        page.until("document.querySelectorAll('#case-list details').length > 0", 60)
        page.until("document.querySelector('#case-list button[value=verify]') !== null")
        for action, state in (("verify", "verified"), ("decide", "decided"), ("serve", "suspended")):
            page.until(f"document.querySelector('#case-list button[value={action}]') !== null")
            page.eval(
                f"""(() => {{
                    const button = document.querySelector('#case-list button[value={action}]');
                    const form = button.closest('form');
                    form.closest('details').open = true;
                    form.querySelector('textarea').value = 'seen in the browser';
                    button.click();
                }})()"""
            )
            until(lambda wanted=state: system.query('SELECT state FROM "case"') == [(wanted,)], 20, state)  # type: ignore[misc]
        page.until_shown("suspended")
    orders = system.query("SELECT payload, sent_at IS NOT NULL FROM outgoing")
    assert [json.loads(payload)["orders"][0]["order"] for payload, _ in orders] == ["suspend"]
    assert [sent for _, sent in orders] == [True]
