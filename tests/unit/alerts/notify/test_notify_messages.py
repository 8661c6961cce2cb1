"""Messages: what a person reads on one screen, what a program reads, and the name that a message keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from alerts.notify.messages import MAX_BYTES, Addressee, message_id, message_of, trial_message
from alerts.notify.notices import Document, Notice
from alerts.notify.standard_webhooks import SAFE_ID
from alerts.notify.text import Place, Text, text_of
from alerts.notify.words import EN, LANGUAGES, ZH
from alerts.rules.catalogue import Group
from alerts.rules.rule import SEVERITIES
from fakes.alert_documents import alert_document

PLACE: Final = Place(site="works", name="A works", name_zh="某钢铁厂", region="hebei", timezone="Asia/Shanghai")
AT: Final = datetime(2026, 11, 20, 1, 3, tzinfo=UTC)


def notice(
    *new: Document,
    over: Sequence[Document] = (),
    withdrawn: Sequence[Document] = (),
    standing: Sequence[Document] = (),
) -> Notice:
    return Notice(new=new, over=tuple(over), withdrawn=tuple(withdrawn), standing=tuple(standing))


def text(told: Notice, *, group: str = "exceedance", language: str = "en", link: str | None = None) -> Text:
    return text_of(told, PLACE, group, language=language, link=link)


def test_a_person_reads_what_where_how_much_above_which_limit_and_clause_since_when_and_what_to_do() -> None:
    told = text(notice(alert_document()), link="https://stackwatch.example/")
    assert told.subject == "[stackwatch] major: A works, exceedances (1)"
    assert told.body == "\n".join(
        [
            "A works (works, hebei): exceedances",
            "1 new, 0 over, 0 withdrawn; 1 open now (major 1)",
            "",
            "New:",
            "- major | Hour above the limit | DA001 SO2",
            "    61.25 mg/m3, limit 35, 75 % above",
            "    2026-11-20 08:00 to 09:00 (Asia/Shanghai), since 2026-11-20 08:00",
            "    HuanDaqi [2019] 35, annex 2",
            "",
            "Check flags and marks of the hours, then acknowledge; open a case where it stands.",
            "Details: https://stackwatch.example/",
        ]
    )


def test_an_alert_that_became_graver_is_told_with_the_numbers_that_made_it_so() -> None:
    hour = "2026-11-20T03:00:00Z"
    graver = {"hour": hour, "observed": 36.0, "limit": 36.0, "evidence": {}}
    first = ["2026-11-19T22:00:00Z", "warning"]
    numbers: dict[str, Any] = {"observed": 2.0, "limit": 36.0, "unit": "hours"}
    grave = {"graver": graver, "severity_since": [first, [hour, "critical"]]}
    lighter = {"graver": graver, "severity_since": [first, [hour, "critical"], ["2026-11-20T09:00:00Z", "warning"]]}
    assert "36 hours, limit 36" in text(notice(alert_document(**numbers, evidence=grave))).body
    assert "2 hours, limit 36" in text(notice(alert_document(**numbers, evidence=lighter))).body


def test_the_same_in_chinese() -> None:
    told = text(notice(alert_document()), language="zh")
    assert told.subject == "[stackwatch] 重要：某钢铁厂，超标告警 1 条"
    assert "61.25 mg/m3，限值 35，超出 75 %" in told.body
    assert "2026-11-20 08:00 至 09:00（Asia/Shanghai）" in told.body
    assert not re.search(r"\b(new|over|limit|since|open)\b", told.body)


def test_a_lead_is_called_a_lead_and_nothing_a_violation() -> None:
    document = alert_document(rule="constant", severity="warning", pack=None, observed=7.0, limit=6.0, unit="h")
    for language in LANGUAGES:
        told = text(notice(document), group="integrity", language=language)
        assert LANGUAGES[language].lead in told.body
        assert LANGUAGES[language].groups["integrity"] in told.subject
    every_word = " ".join(text for words in (EN, ZH) for table in (words.todo, words.groups) for text in table.values())
    assert not re.search(r"violat|违法|违规", every_word)


def test_every_kind_and_severity_has_its_words_in_each_language() -> None:
    for words in LANGUAGES.values():
        assert set(words.groups) == set(words.todo) == set(Group)
        assert set(words.severities) == set(SEVERITIES)


def test_a_value_just_above_its_limit_does_not_read_like_the_limit() -> None:
    told = text(notice(alert_document(observed=35.00004)))
    assert "35.00004 mg/m3, limit 35\n" in told.body


def test_what_has_no_numbers_is_told_without() -> None:
    told = text(notice(alert_document(rule="edge_offline", stack=None, pollutant=None, observed=None, limit=None)))
    assert "limit" not in told.body.partition("New:")[2].partition("Check")[0].replace("Edge offline", "")


def test_a_storm_fits_on_one_screen_and_says_how_many_more_there_are() -> None:
    storm = [alert_document(f"al-{n}") for n in range(500)]
    told = text(notice(*storm, over=storm[:40], standing=storm[:40]))
    assert len(told.body.splitlines()) <= 42
    assert "and 496 more" in told.body
    assert "500 new" in told.body


def test_a_repetition_says_that_it_is_one() -> None:
    assert text(notice(standing=[alert_document()])).subject == "[stackwatch] still: major: A works, exceedances (1)"


@pytest.mark.parametrize(("section", "word"), [("over", "Over"), ("withdrawn", "Withdrawn")])
def test_the_end_says_that_it_is_one(section: str, word: str) -> None:
    state = {"over": "resolved", "withdrawn": "withdrawn"}[section]
    told = text(notice(**{section: [alert_document(state=state)]}))
    assert word in told.subject
    assert "0 open now" in told.body


def message(told: Notice, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "to": Addressee(receiver_id=1, name="duty", language="en"),
        "route": "r",
        "group_key": "works/exceedance",
        "number": 7,
        "count": 0,
        "at": AT,
        "public_url": "",
        **more,
    }
    found: dict[str, Any] = json.loads(message_of(told, PLACE, "exceedance", **values).payload)
    return found


def test_a_program_reads_type_time_counts_the_worst_and_the_alerts_with_their_numbers() -> None:
    body = message(notice(alert_document(), over=[alert_document("al-2", state="resolved", severity="info")]))
    assert (body["type"], body["timestamp"]) == ("alerts.news", "2026-11-20T01:03:00.000Z")
    data = body["data"]
    assert data["counts"] == {"new": 1, "over": 1, "withdrawn": 0, "standing": 0}
    assert data["open"] == {"info": 0, "warning": 0, "major": 1, "critical": 0}
    assert (data["worst"], data["left_out"]) == ("al-1", 0)
    first, second = data["alerts"]
    assert (first["news"], first["observed"], first["limit"], first["lead"]) == ("new", 61.25, 35.0, False)
    assert (second["news"], second["state"]) == ("over", "resolved")
    assert "evidence" not in first, "the alert itself has it"


def test_a_repetition_has_a_type_of_its_own() -> None:
    assert message(notice(standing=[alert_document()]))["type"] == "alerts.repeated"


def test_a_message_stays_below_what_receivers_expect_and_counts_what_it_left_out() -> None:
    storm = [alert_document(f"al-{n}", clause="条" * 900) for n in range(500)]
    told = message_of(
        notice(*storm),
        PLACE,
        "exceedance",
        to=Addressee(receiver_id=1, name="duty", language="zh"),
        route="r",
        group_key="works/exceedance",
        number=1,
        count=0,
        at=AT,
        public_url="https://stackwatch.example",
    )
    assert len(told.payload.encode()) <= MAX_BYTES
    data = json.loads(told.payload)["data"]
    assert 0 < len(data["alerts"]) < 20
    assert data["left_out"] + len(data["alerts"]) == 500


def test_a_message_is_named_by_whom_it_is_for_what_it_is_about_and_how_far_the_feed_was_told() -> None:
    base: dict[str, Any] = {"receiver_id": 1, "route": "r", "group_key": "works/exceedance", "number": 7, "count": 0}
    name = message_id(**base)
    assert message_id(**base) == name
    assert SAFE_ID.fullmatch(name)
    others: list[dict[str, Any]] = [
        {"receiver_id": 2},
        {"route": "s"},
        {"group_key": "mill/exceedance"},
        {"number": 8},
        {"count": 1},
    ]
    assert len({name, *(message_id(**{**base, **other}) for other in others)}) == 6


def test_a_test_message_says_that_it_is_one() -> None:
    told = trial_message("msg_test_1", Addressee(receiver_id=1, name="duty", language="zh"), at=AT)
    body = json.loads(told.payload)
    assert body["type"] == "receiver.test"
    assert "测试" in body["data"]["subject"]
