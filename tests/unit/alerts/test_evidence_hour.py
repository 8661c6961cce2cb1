"""An hour is redone from its rows whatever the register says of it, and a row that counted cannot be changed unseen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alerts.evidence.checks import Check
from alerts.evidence.files import check_file
from alerts.evidence.parts import marks_of, rows_of, subject_of
from alerts.evidence.sealing import sealed
from alerts.hours import judge_rows
from alerts.rules.finding import Finding
from plant.packs import pack
from plant.periods import HOUR, SECOND, instant, micros

PACK: Final = pack("cn-steel-ule-2019")
START: Final = datetime.fromisoformat("2026-11-10T08:00:00+08:00")
RANGES: Final = {"so2": {"range": [0, 400]}, "o2": {"range": [0, 25]}}
STACKS: Final[Mapping[str, dict[str, Any]]] = {
    "plain": {"channels": RANGES},
    "wet_ppm_at_actual_state": {
        "channels": {
            "so2": {"unit": "ppm", "basis": "wet", "gas_state": "actual", "range": [0, 400], "slope": 1.1},
            "o2": {"basis": "wet", "range": [0, 25]},
        },
        "ambient_pressure_pa": 99_000,
    },
    "stamped_at_the_end": {"stamped": "end", "channels": RANGES},
    "settling_after_a_calibration": {"settle_s": 300, "channels": RANGES},
    "two_ducts": {"ducts": ["main", "backup"], "area_m2": 12.0, "channels": RANGES},
    "main_and_backup": {"judged_from": ["main", "backup"], "channels": RANGES},
}


def rows_for(stack: Mapping[str, Any], rng: random.Random) -> list[dict[str, Any]]:
    """Rows of an hour above the limit, and of half an hour before it, as the database copies them."""
    shift = timedelta(seconds=60) if stack.get("stamped") == "end" else timedelta()
    rows: list[dict[str, Any]] = []
    for instrument in ("main", "backup"):
        *over, one, other, third = rng.sample(range(-30, 60), 5)  # so few that the hour stays valid
        for minute in range(-30, 60):
            row: dict[str, Any] = {
                "instrument": instrument,
                "sampled_at": (START + shift + timedelta(minutes=minute)).isoformat(),
                "interval_s": 60,
                "flag": "C" if minute in range(-8, 0) else "T" if minute in over else "N",
                "so2": round(rng.uniform(120.0, 300.0), 2),
                "o2": round(rng.uniform(14.0, 17.0), 2),
                "moisture": 9.5,
                "temperature": 130.0,
                "pressure": -300.0,
                "velocity": 15.0,
                "flow": round(rng.uniform(8e5, 9e5), 1),
                "revision": 0,
            }
            if minute in (one, other, third):
                row["flags"] = {"o2": "D"}
            rows.append(row)
    return rows


def a_file(name: str, seed: int) -> dict[str, Any]:
    """An exported alert of the hour, made of what the rows give."""
    rng = random.Random(seed)
    stack = {
        "code": "DA001",
        "name": "head",
        "process": "sinter_head",
        "packs": [PACK.name],
        "interval_s": 60,
        "units": ["S1"],
        **STACKS[name],
    }
    file: dict[str, Any] = {
        "format": "stackwatch-alert/1",
        "register": {
            "region": {"code": "hebei", "name": "Hebei"},
            "site": {"code": "works", "name": "works", "region": "hebei", "timezone": "Asia/Shanghai"},
            "stack": stack,
        },
        "pack": {"name": PACK.name, "version": PACK.version, "text": PACK.text},
        "packs": [],
        "accepted_marks": [{"start": START.isoformat(), "end": (START + timedelta(minutes=4)).isoformat()}],
        "evidence": rows_for(stack, rng),
    }
    file["alert"] = document_of(found_in(file))
    event = {"event": "opened", "at": "2026-11-10T01:02:00Z", "feed_number": 1, "document": file["alert"]}
    return sealed(json.loads(json.dumps(file | {"events": [event]})), None)


def found_in(file: Mapping[str, Any]) -> Finding:
    subject, start = subject_of(file), micros(START)
    judged = judge_rows(
        subject,
        rows_of(file["evidence"], subject),
        first=start,
        n_hours=1,
        marks=marks_of(file),
        now=start + HOUR + 120 * SECOND,
    )
    return next(
        finding
        for finding in judged.findings
        if (finding.series.rule, finding.series.pollutant) == ("hour_above_limit", "so2")
    )


def document_of(finding: Finding) -> dict[str, Any]:
    def text(at_us: int) -> str:
        return instant(at_us).isoformat().replace("+00:00", "Z")

    return {
        "id": finding.alert_id,
        "rule": finding.series.rule,
        "severity": finding.severity,
        "state": "firing",
        "region": "hebei",
        "site": finding.series.site,
        "stack": finding.series.stack,
        "pollutant": finding.series.pollutant,
        "pack": finding.series.pack,
        "period_start": text(finding.period_start),
        "period_end": text(finding.period_end),
        "started_at": text(finding.period_start),
        "ended_at": None,
        "observed": finding.observed,
        "limit": finding.limit,
        "unit": finding.unit,
        "clause": finding.clause,
        "evidence": {**finding.evidence, "revision": 1},
    }


def wrong(checks: list[Check]) -> list[str]:
    return [check.what for check in checks if check.holds is False]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
@pytest.mark.parametrize("name", STACKS)
def test_an_hour_holds_whatever_its_register_says(name: str, seed: int) -> None:
    checks = check_file(a_file(name, seed))
    assert wrong(checks) == []
    assert {"observed", "evidence.mean", "evidence.o2", "evidence.rows_hash"} <= {
        one.what for one in checks if one.holds
    }


CHANGES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "so2": lambda value: value - 0.01,
    "o2": lambda value: value + 0.01,
    "flag": lambda value: "M" if value in "NT" else "N",
    "interval_s": lambda value: value // 2,
    "sampled_at": lambda value: value.replace("T08:", "T07:") if "T08:" in value else value.replace("T09:", "T07:"),
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500), st.integers(10, 59), st.sampled_from(sorted(CHANGES)))
@pytest.mark.parametrize("name", ["plain", "wet_ppm_at_actual_state", "stamped_at_the_end"])
def test_a_row_of_the_hour_that_is_changed_is_found_out(name: str, seed: int, minute: int, column: str) -> None:
    file = a_file(name, seed)
    row = file["evidence"][30 + minute]
    assume(row["flag"] == "N" and "flags" not in row)  # over range another value is the same lower bound
    row[column] = CHANGES[column](row[column])
    faults = wrong(check_file(sealed(file, None)))
    assert "evidence.rows_hash" in faults


def test_a_row_that_is_left_out_or_put_in_is_found_out() -> None:
    file = a_file("plain", 1)
    short = {**file, "evidence": file["evidence"][:50] + file["evidence"][51:]}
    assert "evidence.rows_hash" in wrong(check_file(sealed(short, None)))
    none: dict[str, Any] = {**file, "evidence": []}
    assert {"evidence.rows_hash", "finding"} <= set(wrong(check_file(sealed(none, None))))


def test_a_mark_that_was_not_accepted_does_not_excuse_the_hour() -> None:
    file = a_file("plain", 2)
    whole = {"start": START.isoformat(), "end": (START + timedelta(hours=1)).isoformat()}
    assert "finding" in wrong(check_file(sealed({**file, "accepted_marks": [whole]}, None)))
    assert "evidence.valid_minutes" in wrong(check_file(sealed({**file, "accepted_marks": []}, None)))


FORGED: Final[Mapping[str, Any]] = {
    "severity": "info",
    "observed": 1.0,
    "limit": 1e6,
    "clause": "none",
    "unit": "g",
    "period_end": "2026-11-10T02:00:00Z",
    "evidence": {"mean": 1.0},
}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_a_number_is_not_moved_by_an_event_that_moves_none(name: str) -> None:
    """Somebody who writes another number puts an event behind it that says the same: the rows still say the old one."""
    file = a_file("plain", 4)
    file["alert"] = file["alert"] | {name: FORGED[name]}
    noted = {"event": "acknowledged", "at": "2026-11-10T03:00:00Z", "feed_number": 2, "document": file["alert"]}
    forged = sealed({**file, "events": [*file["events"], noted]}, None)
    assert wrong(check_file(forged)) == [name]


@pytest.mark.parametrize("name", ["observed", "limit", "clause", "severity", "period_end", "opened_at"])
def test_what_the_alert_no_longer_says_is_named(name: str) -> None:
    file = a_file("plain", 5)
    file["events"][0]["document"] = {**file["alert"], "opened_at": "2026-11-10T01:02:00Z"}
    file["alert"] = {key: value for key, value in file["events"][0]["document"].items() if key != name}
    faults = wrong(check_file(sealed(file, None)))
    assert {name, "file"} & set(faults)


@pytest.mark.parametrize("of", ["region", "site", "stack"])
def test_a_register_that_is_not_of_the_alerts_own_stack_is_named(of: str) -> None:
    file = a_file("plain", 6)
    file["register"] = file["register"] | {of: file["register"][of] | {"code": "another"}}
    assert of in wrong(check_file(sealed(file, None)))


def test_a_site_may_have_another_region_since_its_alert_opened() -> None:
    file = a_file("plain", 6)
    file["events"][0]["document"] = file["alert"] | {"region": "before"}
    assert wrong(check_file(sealed(file, None))) == []


def test_a_pack_whose_text_is_not_of_its_version_is_named() -> None:
    file = a_file("plain", 7)
    file["pack"] = file["pack"] | {"version": "9", "text": PACK.text.replace("so2 = 35", "so2 = 50")}
    assert wrong(check_file(sealed(file, None))) == [f"pack {PACK.name}"]


def test_another_version_of_the_pack_is_not_passed_over() -> None:
    file = a_file("plain", 3)
    for alert in (file["alert"], file["events"][0]["document"]):
        alert["evidence"]["pack_version"] = "another"
    checks = check_file(sealed(file, None))
    assert wrong(checks) == []
    assert "numbers" in {check.what for check in checks if check.holds is None}
