"""The page in a real browser, on the system as a person runs it, with readings typed in over MQTT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from builders import WORKS, a_frame, minutes, ms
from fakes.browser import installed, open_page
from fakes.system import System, until
from plant import wire

pytestmark = pytest.mark.skipif(installed() is None, reason="no Chromium on this machine: apt-get install chromium")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path, WORKS)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def publish(system: System, payload: bytes, *, edge: str = "e1", kind: str = "data") -> None:
    """As any MQTT client would: QoS 1, acknowledged."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", system.mqtt_port)
    client.loop_start()
    client.publish(f"ule/v1/works/{edge}/{kind}", payload, qos=1, retain=kind == "state").wait_for_publish(10)
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

        # Hundreds of alerts of one kind at one site are one card, which opens into them.
        page.until("document.querySelector('#alert-list .group strong')?.textContent === 'Exceedances'")
        page.until("document.querySelectorAll('#alert-list .group article.alert').length > 100")
        page.until("document.querySelectorAll('#alert-list > article').length < 12")
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


SOURCES: Final = {
    "analyser": {"kind": "modbus", "ok": False, "detail": "no answer from 10.0.3.17", "tolerated": {}, "restarts": 4},
    "logger": {"kind": "hj212.listen", "ok": True, "detail": "1 of 1", "tolerated": {"crc_case": 12}, "restarts": 0},
    "bureau": {
        "kind": "hj212.uplink",
        "ok": True,
        "detail": "",
        "tolerated": {},
        "restarts": 0,
        "figures": {
            "connected": False,
            "waiting": 12,
            "refused": {"PW_WRONG": 3},
            "dropped": 0,
            "last_confirmed": None,
        },
    },
}
HOURS: Final = 5


def restless(minute: int) -> float:
    return 20 + (minute * 7919 % 1009) / 100


def publish_hours(system: System) -> None:
    """Five hours of so2, what a logger made of them, and a platform that holds another value for the last one."""
    first = (datetime.now(UTC) - timedelta(hours=HOURS + 1)).replace(minute=0, second=0, microsecond=0)
    rows = minutes(first.isoformat(), HOURS * 60, o2=16.0)
    publish(system, a_frame([row | {"so2": restless(place)} for place, row in enumerate(rows)]))
    means = [round(sum(map(restless, range(hour * 60, hour * 60 + 60))) / 60, 2) for hour in range(HOURS)]
    for source, values in (("logger", means), ("platform", [*means[:-1], 17.77])):
        reported = [
            {"stack": "DA001", "sampled_at": ms(first + timedelta(hours=hour)), "interval_s": 3600, "avg": value}
            for hour, value in enumerate(values)
        ]
        publish(system, a_frame(reported, kind="reported_mean", channel="so2", source=source))


@pytest.mark.timeout(300)
def test_the_operator_sees_what_edges_say_and_reported_hours_beside_ours(system: System, tmp_path: Path) -> None:
    publish_hours(system)
    said = {"sources": SOURCES, "agent_file": {"ok": False, "detail": "modbus[0].port: is required"}}
    publish(system, wire.state_bytes(online=True, version="1.2", outbox=3, dropped=7, more=said), kind="state")
    publish(system, wire.state_bytes(online=False, version="1.1"), edge="e2", kind="state")
    until(lambda: len(system.query("SELECT 1 FROM edge_state")) == 2, 20, "the edges are heard")
    token = system.say("token", "create", "--role", "operator", "--site", "works", "--data", str(system.data))
    with open_page(f"{system.http_url}/#token={token.splitlines()[-1]}", tmp_path / "profile") as page:
        page.until_shown("1 of 2 edges offline")
        for words in (
            "online e1 since 20",
            "frames without a receipt: 3",
            "rows dropped, its outbox was full: 7",
            "agent file refused, the one before is in use: modbus[0].port: is required",
            "does not work analyser Modbus restarts: 4",
            "works bureau HJ 212, to a platform",
            "connected: no last confirmed: – waiting: 12 refused, by code: PW WRONG ×3",
            "tolerated: crc case ×12",
        ):
            page.until(
                f"document.querySelector('.edges').innerText.replace(/\\s+/g, ' ').includes({json.dumps(words)})"
            )
        assert "dropped: 0" not in page.text()

        page.until_shown("1 unexplained")
        page.eval("document.querySelector('.stack details').open = true")
        page.until("document.querySelectorAll('.reported tbody').length === 5")
        odd = "document.querySelector('.reported tr.odd').innerText.replace(/\\s+/g, ' ')"
        assert "17.77" in page.eval(odd)
        assert "logger: rounding" in page.eval(odd)
        assert "platform: unexplained" in page.eval(odd)
        assert page.eval("document.querySelectorAll('.reported tr.odd').length") == 1

        # The page asks again: what a person opened, and where they are in it, stays.
        page.eval("document.styleSheets[0].insertRule('.long { max-height: 6rem !important }')")
        page.eval("document.querySelector('.long').scrollTop = 20")
        page.eval("document.querySelector('.reported').dataset.seen = 'yes'")
        page.until("document.querySelector('.reported') && !document.querySelector('.reported').dataset.seen", 40)
        assert page.eval(
            "[document.querySelector('.stack details').open, document.querySelector('.long').scrollTop]"
        ) == [
            True,
            20,
        ]

        page.eval("document.getElementById('language').click()")
        for chinese in ("2 个采集端中 1 个离线", "HJ 212，上报平台", "被拒绝（按代码）: PW WRONG ×3", "1 个原因不明"):
            page.until_shown(chinese)
        page.command("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        page.until("document.documentElement.scrollWidth <= 360")

        page.eval("document.getElementById('sign').click()")  # nobody in particular sees none of it
        page.until("!document.querySelector('.edge, .reported') && document.querySelector('.stack')")
