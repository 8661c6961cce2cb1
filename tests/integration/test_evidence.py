"""Exported alerts are redone offline, every number of them, and what was tampered with is found and named."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alerts.enforcement.signing import load_signer
from alerts.evidence.checks import Check
from alerts.evidence.files import check_file
from alerts.evidence.sealing import sealed
from api.app import create_app
from builders import WORKS, Pipe, a_frame, a_pipe, minutes
from fakes.api_rows import Rows, rows_in
from plant.settings import Settings

pytestmark = pytest.mark.anyio

Document = dict[str, Any]

REGISTER: Final = WORKS.replace(
    "    [site.stack.channels.so2]\n    range = [0, 200]\n",
    "    [site.stack.channels.so2]\n    range = [0, 200]\n    [site.stack.channels.o2]\n    range = [0, 25]\n",
)
FIRST: Final = datetime(2026, 11, 9, 16, tzinfo=UTC)
ABOVE_H: Final = 45  #: of a month that has a budget of 36
LATER: Final = FIRST + timedelta(days=3)


@asynccontextmanager
async def an_office(
    database_url: str, key: Path, register: str = REGISTER
) -> AsyncIterator[tuple[Pipe, httpx.AsyncClient, Rows]]:
    app = create_app(Settings(database_url=database_url, order_key_file=str(key)))
    async with (
        a_pipe(database_url, register) as pipe,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
        rows_in(database_url) as rows,
    ):
        yield pipe, http, rows


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "orders.pem"
    private = Ed25519PrivateKey.from_private_bytes(b"a key of the test, known to all!")
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def a_bad_week() -> list[Document]:
    """Hours within, then more above than a month allows, and again some within."""
    rows: list[Document] = []
    for hour in range(ABOVE_H + 12):
        above = 6 <= hour < ABOVE_H + 6
        start = FIRST + timedelta(hours=hour)
        for row in minutes(start.isoformat(), 60, o2=16.0, nox=20.0, pm=2.0):
            minute = len(rows) % 60
            level = (60.0 if above else 20.0) + 3 * math.sin(minute + hour)
            nox = 20.0 if hour > 40 else round(20.0 + math.sin(minute * hour), 1)
            rows.append(row | {"so2": level, "nox": nox, "o2": 16.0 + 0.2 * math.cos(minute * hour)})
    return rows


_EXPORTS: Final[dict[str, Document]] = {}  # made by the first test that asks


async def exports(database_url: str, key: Path) -> dict[str, Document]:
    """The export of the first alert of each rule."""
    if not _EXPORTS:
        _EXPORTS.update(await _exports(database_url, key))
    return _EXPORTS


async def _exports(database_url: str, key: Path) -> dict[str, Document]:
    async with an_office(database_url, key) as (pipe, http, people):
        rows = a_bad_week()
        for at in range(0, len(rows), 1000):
            await pipe.publish(a_frame(rows[at : at + 1000]))
        await pipe.tick(LATER)
        watch = await people.token("watch")
        found: dict[str, Document] = {}
        for (alert_id,) in await pipe.rows("SELECT DISTINCT ON (rule) alert_id FROM alert ORDER BY rule, period_start"):
            answer = await http.get(f"/v1/alerts/{alert_id}/export", headers=watch)
            assert answer.status_code == 200, answer.text
            found[answer.json()["alert"]["rule"]] = answer.json()
        return found


def wrong(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if check.holds is False]


async def test_an_export_of_each_rule_holds_and_says_what_was_not_redone(database_url: str, key: Path) -> None:
    found = await exports(database_url, key)
    assert {"hour_above_limit", "irrecoverable_hour", "month_below_share", "budget", "constant"} <= found.keys()
    public = load_signer(key).public_key_b64
    for rule, document in found.items():
        checks = check_file(document, public_key=public)
        assert wrong(checks) == [], rule
        assert {"seal", "signature", "id", "events", "observed", "limit", "clause"} <= {
            check.what for check in checks if check.holds
        }, rule
    redone = {check.what for check in check_file(found["hour_above_limit"]) if check.holds}
    assert {"evidence.rows_hash", "evidence.valid_minutes", "evidence.mean", "evidence.pack_version"} <= redone
    assert wrong(check_file(found["hour_above_limit"], public_key="AAAA")) != []
    hours = {(mean["start"], mean["pollutant"]): mean["rows_hash"] for mean in found["budget"]["means"]}
    shown = found["hour_above_limit"]["alert"]
    assert hours[shown["period_start"], shown["pollutant"]] == shown["evidence"]["rows_hash"]


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from numbers_in(item, (*path, name))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(document: Document, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Document:
    other = copy.deepcopy(document)
    place: Any = other
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = change(place[path[-1]])
    return other


async def test_whatever_number_is_changed_the_seal_breaks_and_one_sealed_again_is_named(
    database_url: str, key: Path
) -> None:
    found = await exports(database_url, key)
    for rule in ("hour_above_limit", "irrecoverable_hour", "month_below_share", "budget"):
        document = found[rule]
        decisive = [path for path in numbers_in(document["alert"], ("alert",)) if path[-1] != "revision"]
        assert len(decisive) > 5
        for path in decisive:
            tampered = changed(document, path, lambda number: number + 1)
            assert any("changed since" in fault for fault in wrong(check_file(tampered))), path
            # Whoever seals it anew still has to answer for the number itself.
            named = wrong(check_file(sealed(tampered, None)))
            assert any(str(path[1]) in fault.split(":")[0] for fault in named), (path, named)


TAMPERED: Final[tuple[tuple[str, tuple[Any, ...], Callable[[Any], Any], str], ...]] = (
    ("hour_above_limit", ("evidence", 7, "so2"), lambda value: value - 20, "observed"),
    ("hour_above_limit", ("evidence", 7, "flag"), lambda value: "C", "evidence.rows_hash"),
    ("hour_above_limit", ("evidence", 7, "sampled_at"), lambda value: value.replace(":07:", ":06:"), "rows_hash"),
    ("hour_above_limit", ("register", "stack", "process"), lambda value: "coke_chimney", "clause"),
    ("hour_above_limit", ("pack", "text"), lambda value: value.replace("so2 = 35", "so2 = 50"), "pack"),
    ("hour_above_limit", ("alert", "period_start"), lambda value: value.replace("T22", "T21"), "id"),
    ("month_below_share", ("evidence", 9, "verdict"), lambda value: "clear", "hour 2026-11-10T01:00:00Z"),
    ("month_below_share", ("evidence", 9, "corrected"), lambda value: 20.0, "hour 2026-11-10T01:00:00Z"),
    ("month_below_share", ("hours_now", 9, "verdict"), lambda value: "clear", "hour 2026-11-10T01:00:00Z"),
    ("budget", ("history", "verdicts", "so2", 2, "verdict"), lambda value: ["clear"] * len(value), "finding"),
    ("constant", ("history", "ended"), lambda value: [False] * len(value), "finding"),
)


async def test_what_is_tampered_with_and_sealed_again_is_named(database_url: str, key: Path) -> None:
    found = await exports(database_url, key)
    series = [one[1] for one in found["budget"]["history"]["verdicts"]]
    for rule, path, change, named in TAMPERED:
        place = tuple(series.index(name) if name == "so2" and path[0] == "history" else name for name in path)
        tampered = sealed(changed(found[rule], place, change), None)
        assert tampered != found[rule]
        faults = wrong(check_file(tampered))
        assert any(named in fault.split(": ")[0] for fault in faults), (rule, path, faults)


async def test_a_withdrawn_alert_is_redone_as_it_was_last_said_to_stand(database_url: str, key: Path) -> None:
    async with an_office(database_url, key) as (pipe, http, people):
        start = "2026-11-10T08:00:00+08:00"
        await pipe.publish(a_frame(minutes(start, 60, so2=60.0, o2=16.0)))
        await pipe.tick(LATER)
        operator, reviewer = await people.token("operator"), await people.token("reviewer")
        mark = {"site": "works", "stack": "DA001", "kind": "start_up", "start": start, "reason": "lighting"}
        filed = await http.post("/v1/marks", headers=operator, json=mark | {"end": "2026-11-10T09:00:00+08:00"})
        decision = {"decision": "accepted", "reason": "seen"}
        await http.post(f"/v1/marks/{filed.json()['id']}/decision", headers=reviewer, json=decision)
        await pipe.judge()
        ((alert_id, state),) = await pipe.rows(
            "SELECT alert_id, state FROM alert WHERE rule = 'hour_above_limit' AND pollutant = 'so2'"
        )
        document = (await http.get(f"/v1/alerts/{alert_id}/export", headers=reviewer)).json()
    assert (state, document["accepted_marks"]) == ("withdrawn", [])
    checks = check_file(document)
    assert wrong(checks) == []
    assert "observed" in {check.what for check in checks if check.holds}


async def test_an_alert_of_a_running_hour_holds_while_it_runs_and_is_redone_when_it_is_over(
    database_url: str, key: Path
) -> None:
    """Its numbers move with every row, and its rows are copied again when it is over."""
    ranged = REGISTER.replace("range = [0, 25]", "range = [14, 18]")
    async with an_office(database_url, key, ranged) as (pipe, http, people):
        watch = await people.token("watch")
        level, redone = 150.0, []
        for minute in (0, 20, 40):
            start = f"2026-11-10T08:{minute:02}:00+08:00"
            await pipe.publish(a_frame(minutes(start, 20, so2=level - minute, o2=16.0)))
            await pipe.tick("2026-11-10T09:03:00+08:00" if minute == 40 else f"2026-11-10T08:{minute + 19}:00+08:00")
            ((alert_id,),) = await pipe.rows("SELECT alert_id FROM alert WHERE rule = 'irrecoverable_hour'")
            document = (await http.get(f"/v1/alerts/{alert_id}/export", headers=watch)).json()
            checks = check_file(document)
            assert wrong(checks) == [], minute
            redone.append("observed" in {check.what for check in checks if check.holds})
    assert [event["event"] for event in document["events"]] == ["opened", "resolved"]
    assert redone == [False, False, True]


async def test_an_alert_about_an_edge_says_what_is_not_redone(database_url: str, key: Path) -> None:
    async with an_office(database_url, key) as (pipe, http, people):
        rows = minutes("2026-11-10T08:00:00+08:00", 30, so2=20.0, o2=16.0)
        await pipe.publish(a_frame(rows[:10], session="s", seq=1, low=1, rows_before=0))
        await pipe.publish(a_frame(rows[20:], session="s", seq=3, low=3, rows_before=20))
        for minute in range(0, 60, 10):
            await pipe.tick(LATER + timedelta(minutes=minute))
            await pipe.keep_books()
        ((alert_id,),) = await pipe.rows("SELECT alert_id FROM alert WHERE rule = 'rows_unexplained'")
        await pipe.judge()
        document = (await http.get(f"/v1/alerts/{alert_id}/export", headers=await people.token("watch"))).json()
    checks = check_file(document)
    assert wrong(checks) == []
    assert [check.what for check in checks if check.holds is None] == ["signature", "numbers"]
    later = changed(document, ("alert", "period_start"), lambda text: text.replace("T00", "T01"))
    assert "id" in {fault.split(":")[0] for fault in wrong(check_file(sealed(later, None)))}


async def test_an_exported_case_holds_and_a_changed_record_breaks_its_chain(database_url: str, key: Path) -> None:
    async with an_office(database_url, key) as (_, http, people):
        investigator = await people.token("investigator")
        opened = await http.post(
            "/v1/cases",
            headers=investigator,
            json={"site": "works", "track": "evasion", "reason": "two sets of values"},
        )
        assert opened.status_code == 200, opened.text
        case = opened.json()["id"]
        document = (await http.get(f"/v1/cases/{case}/export", headers=investigator)).json()
    checks = check_file(document, public_key=load_signer(key).public_key_b64)
    assert wrong(checks) == []
    assert {"seal", "signature", "case", "chain"} == {check.what for check in checks if check.holds}
    forged = changed(document, ("events", 0, "body"), lambda body: body.replace("two sets", "three sets"))
    assert [fault.split(":")[0] for fault in wrong(check_file(sealed(forged, None)))] == ["case"]
    assert "seal" in [fault.split(":")[0] for fault in wrong(check_file(forged))]


async def test_the_command_says_it_and_its_exit_code_tells(database_url: str, key: Path, tmp_path: Path) -> None:
    document = (await exports(database_url, key))["hour_above_limit"]
    good, bad, none = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none.json"
    good.write_text(json.dumps(document))
    bad.write_text(json.dumps(changed(document, ("alert", "observed"), lambda value: 1.0)))
    public = load_signer(key).public_key_b64

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stackwatch", "verify", *arguments], capture_output=True, text=True, check=False
        )

    held = verify(str(good), "--key", public)
    assert (held.returncode, held.stderr) == (0, "")
    assert "ok       observed: " in held.stdout
    assert "good.json holds; " in held.stdout.splitlines()[-1]
    broken = verify(str(bad))
    assert broken.returncode == 1
    assert "WRONG    observed: the file says 1.0, its last event (" in broken.stdout
    assert "WRONG    seal: " in broken.stdout
    told = json.loads(verify(str(bad), "--json").stdout)
    assert (told["holds"], len(told["sha256"])) == (False, 64)
    assert verify(str(none)).returncode == 2
    none.write_text("{")
    assert verify(str(none)).returncode == 2
    none.write_text('{"format": "something/1"}')
    assert verify(str(none)).returncode == 1
