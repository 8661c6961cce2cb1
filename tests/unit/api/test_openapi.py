"""The document that programs are generated from agrees with the contract."""

from __future__ import annotations

from typing import Any

import pytest

from api.app import create_app
from plant.settings import Settings

CONTRACT = {
    "/v1/health": {"get"},
    "/v1/sites": {"get"},
    "/v1/sites/{site}": {"get"},
    "/v1/sites/{site}/status": {"get"},
    "/v1/stacks/{site}/{stack}/measurements": {"get"},
    "/v1/stacks/{site}/{stack}/hours": {"get"},
    "/v1/stacks/{site}/{stack}/compliance": {"get"},
    "/v1/stacks/{site}/{stack}/reported": {"get"},
    "/v1/stacks/{site}/{stack}/reconciliation": {"get"},
    "/v1/alerts": {"get"},
    "/v1/alerts/{alert}": {"get"},
    "/v1/alerts/{alert}/export": {"get"},
    "/v1/alerts/{alert}/acknowledge": {"post"},
    "/v1/alerts/stream": {"get"},
    "/v1/alerts/groups": {"get"},
    "/v1/silences": {"get", "post"},
    "/v1/silences/{silence}/end": {"post"},
    "/v1/cases": {"get", "post"},
    "/v1/cases/{case}": {"get"},
    "/v1/cases/{case}/export": {"get"},
    "/v1/cases/{case}/actions": {"post"},
    "/v1/marks": {"get", "post"},
    "/v1/marks/queue": {"get"},
    "/v1/marks/decisions": {"post"},
    "/v1/marks/drafts": {"get"},
    "/v1/marks/drafts/file": {"post"},
    "/v1/marks/drafts/dismiss": {"post"},
    "/v1/marks/{mark}": {"get"},
    "/v1/marks/{mark}/effect": {"get"},
    "/v1/marks/{mark}/decision": {"post"},
    "/v1/instruments/{site}/{stack}/records": {"get", "post"},
    "/v1/books": {"get"},
    "/v1/books/channels": {"get"},
    "/v1/quarantine": {"get"},
    "/v1/quarantine/{item}/release": {"post"},
    "/v1/receivers": {"get", "post"},
    "/v1/receivers/{receiver}": {"get"},
    "/v1/receivers/{receiver}/messages": {"get"},
    "/v1/receivers/{receiver}/messages/{message}/resend": {"post"},
    "/v1/receivers/{receiver}/routes": {"post"},
    "/v1/receivers/{receiver}/target": {"post"},
    "/v1/receivers/{receiver}/secret": {"post"},
    "/v1/receivers/{receiver}/test": {"post"},
    "/v1/receivers/{receiver}/disable": {"post"},
    "/v1/receivers/{receiver}/enable": {"post"},
    "/v1/receivers/{receiver}/retire": {"post"},
    "/v1/map": {"get"},
    "/v1/keys": {"get"},
    "/v1/packs": {"get"},
    "/v1/rules": {"get"},
    "/metrics": {"get"},
}

FIELDS = {
    "Site": "code name region state stacks units",
    "SiteStatus": "site state stacks alerts cases orders",
    "StackStatus": "code process last_sample_at hour month",
    "RunningHour": "mean corrected limit valid_minutes bounds saveable keep_below",
    "Measurement": "sampled_at received_at interval_s instrument flag flags state so2 nox pm o2 load_pct",
    "Hour": "start pollutant pack valid valid_minutes mean corrected corrected_from_minutes o2 limit verdict reason "
    "final revision computed_at",
    "MonthFigures": "hours_valid hours_within hours_above hours_undecided hours_excluded share share_worst required "
    "budget budget_now budget_left verdict",
    "Compliance": "month pack final pollutants",
    "Alert": "id rule severity state site stack pollutant period_start started_at ended_at observed limit unit clause "
    "evidence",
    "AlertGroup": "key site kind alerts by_severity acknowledged suppressed worst since newest ids",
    "Silence": "id state region site stack rules severities audience owner reason start end created_by ended_at",
    "Case": "id site units track state opened_at due events actions",
    "Mark": "id site stack kind start end reason evidence status deadline late source drafts quota",
    "MarkDraft": "id site stack kind cause start end goes_on evidence status deadline late",
    "EffectFigures": "hours_valid hours_within hours_above share share_worst budget_left verdict",
    "BookLine": "published stored duplicate conflict quarantined dropped in_flight unexplained redelivered",
    "ChannelLine": "site stack hour channel interval_s expected present missing flagged",
    "Quarantined": "id topic received_at reason bytes",
    "Receiver": "name kind target language routes system state failures last_error waiting gave_up",
    "ReceiverMessage": "id type subject created_at due_at attempts last_error sent_at gave_up_at",
    "Problem": "type title status detail",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="postgresql://nowhere")).openapi()


def test_it_is_openapi_3_1_with_every_call_of_the_contract(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: set(operations) for path, operations in document["paths"].items()} == CONTRACT


@pytest.mark.parametrize("name", FIELDS)
def test_every_documented_field_is_required(document: dict[str, Any], name: str) -> None:
    assert set(FIELDS[name].split()) <= set(document["components"]["schemas"][name]["required"])


def test_every_call_names_its_problems_and_none_another_kind_of_error(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1"):
                assert set(operation["responses"]["default"]["content"]) == {"application/problem+json"}, path
            assert "422" not in operation["responses"], path
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_list_takes_a_limit_of_up_to_1000_and_a_cursor(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        reference = answer.get("application/json", {}).get("schema", {}).get("$ref", "")
        if "/Page_" in reference and path not in ("/v1/keys", "/v1/packs", "/v1/rules"):
            parameters = {parameter["name"]: parameter for parameter in operations["get"]["parameters"]}
            assert parameters["limit"]["schema"]["maximum"] == 1000, path
            assert "cursor" in parameters, path


def test_writing_calls_take_a_key_that_makes_them_safe_to_repeat(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        if "post" in operations:
            names = {parameter["name"] for parameter in operations["post"]["parameters"]}
            assert "Idempotency-Key" in names, path


def test_no_password_of_the_database_is_in_it(document: dict[str, Any]) -> None:
    assert "postgresql" not in str(document)
