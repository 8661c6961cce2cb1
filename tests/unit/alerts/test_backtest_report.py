"""A judgement of history as plain data and as files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from alerts.backtest.difference import difference
from alerts.backtest.report import alert_document, by_rule, difference_document, month_document, text, write_parquet
from alerts.backtest.results import Hours, JudgedAlert, MonthKey, Result, SeriesKey
from plant.months import Month, MonthVerdict
from plant.periods import HOUR, micros
from plant.register import Site
from plant.verdicts import Reason, Verdict

SO2 = SeriesKey("works", "A", "cn-steel-ule-2019", "so2")
START = micros(datetime(2026, 3, 1, tzinfo=UTC))
ALERT = JudgedAlert(
    alert_id="al-1",
    rule="constant",
    severity="warning",
    site="works",
    stack="A",
    pollutant="so2",
    pack=None,
    period_start=START,
    period_end=START + HOUR,
    ended_at=None,
    observed=4.0,
    limit=4.0,
    unit="h",
    clause="8.3 恒值",
    evidence={"value": 20.5, "lead": True},
)
MONTH = Month(
    hours_within=700,
    hours_above=30,
    hours_undecided=4,
    hours_excluded={"not_running": 10},
    hours_to_come=0,
    share=0.9589,
    share_worst=0.9536,
    required=0.95,
    budget=36,
    budget_now=36,
    verdict=MonthVerdict.CLEAR,
    final=True,
)


def a_result(*alerts: JudgedAlert, verdict: Verdict = Verdict.CLEAR) -> Result:
    hours = Hours(
        start=START + np.arange(2, dtype=np.int64) * HOUR,
        verdict=np.array([Verdict.BREACHED, verdict], dtype=object),
        reason=np.array([Reason.ABOVE, Reason.WITHIN], dtype=object),
        corrected=np.array([40.0, np.nan]),
        limit=np.array([35.0, 35.0]),
    )
    return Result(hours={SO2: hours}, alerts={alert.alert_id: alert for alert in alerts}, rows=120)


def test_instants_are_written_as_the_contract_has_them() -> None:
    assert text(START) == "2026-03-01T00:00:00Z"
    assert text(None) is None


def test_an_alert_has_the_names_of_the_contract_and_is_over_once_it_has_an_end() -> None:
    document = alert_document(ALERT)
    assert (document["id"], document["state"], document["ended_at"]) == ("al-1", "firing", None)
    assert document["evidence"] == {"value": 20.5, "lead": True}
    ended = alert_document(replace(ALERT, ended_at=START + 2 * HOUR))
    assert (ended["state"], ended["ended_at"]) == ("resolved", "2026-03-01T02:00:00Z")


def test_a_month_has_its_series_and_its_counts() -> None:
    document = month_document(MonthKey(SO2, START, START + 31 * 24 * HOUR), MONTH, "2026-03")
    assert {name: document[name] for name in SO2._fields} == SO2._asdict()
    assert (document["hours_valid"], document["budget_left"], document["verdict"]) == (730, 6, "clear")
    assert json.loads(json.dumps(document)) == document


def test_a_difference_is_plain_data() -> None:
    site = Site(code="works", name="Works", region="north", timezone="UTC")
    graver = replace(ALERT, severity="major")
    lost = replace(ALERT, alert_id="al-2", rule="step")
    found = difference(a_result(ALERT, lost), a_result(graver, verdict=Verdict.BREACHED), {"works": site})

    document: dict[str, Any] = json.loads(json.dumps(difference_document(found)))

    assert [alert["rule"] for alert in document["lost"]] == ["step"]
    assert document["gained"] == []
    ((moved),) = document["moved"]
    assert moved["what"] == ["severity"]
    assert (moved["before"]["severity"], moved["after"]["severity"]) == ("warning", "major")
    ((month),) = document["months"]
    assert month["hours"] == [{"before": "clear", "after": "breached", "n": 1}]


def test_alerts_are_counted_by_rule() -> None:
    alerts = [ALERT, replace(ALERT, alert_id="al-2"), replace(ALERT, alert_id="al-3", rule="step")]
    assert by_rule(alerts) == {"constant": 2, "step": 1}


def test_the_files_hold_what_was_judged(tmp_path: Path) -> None:
    months = [month_document(MonthKey(SO2, START, START + 31 * 24 * HOUR), MONTH, "2026-03")]

    write_parquet(a_result(ALERT), months, tmp_path / "deep" / "judged")

    hours = pq.read_table(tmp_path / "deep" / "judged" / "hours.parquet").to_pylist()
    assert [hour["verdict"] for hour in hours] == ["breached", "clear"]
    assert hours[0]["start"] == datetime(2026, 3, 1, tzinfo=UTC)
    assert (hours[0]["pack"], hours[0]["corrected"], hours[0]["limit"]) == ("cn-steel-ule-2019", 40.0, 35.0)
    (alert,) = pq.read_table(tmp_path / "deep" / "judged" / "alerts.parquet").to_pylist()
    assert json.loads(alert["evidence"]) == ALERT.evidence
    assert alert["clause"] == "8.3 恒值"
    (month,) = pq.read_table(tmp_path / "deep" / "judged" / "months.parquet").to_pylist()
    assert json.loads(month["hours_excluded"]) == {"not_running": 10}
    assert month["share"] == 0.9589


def test_a_judgement_without_alerts_and_months_is_files_of_the_same_columns(tmp_path: Path) -> None:
    months = [month_document(MonthKey(SO2, START, START + 31 * 24 * HOUR), MONTH, "2026-03")]
    write_parquet(Result(), [], tmp_path / "none")
    write_parquet(a_result(ALERT), months, tmp_path / "some")
    for name, columns in (("hours", None), ("months", months[0]), ("alerts", alert_document(ALERT))):
        none, some = (pq.read_table(tmp_path / which / f"{name}.parquet") for which in ("none", "some"))
        assert (none.num_rows, none.schema) == (0, some.schema)
        assert columns is None or set(some.column_names) == columns.keys()


def test_of_a_result_what_touches_the_time_that_was_asked_for_is_shown() -> None:
    later = replace(ALERT, alert_id="al-2", period_start=START + HOUR, period_end=START + 2 * HOUR)
    found = a_result(ALERT, later).within(START + HOUR, None)

    assert found.alerts.keys() == {"al-2"}
    assert [int(start) for start in found.hours[SO2].start] == [START + HOUR]
    assert a_result(ALERT).within(START + 5 * HOUR, None).hours == {}
