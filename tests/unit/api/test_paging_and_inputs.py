from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api.inputs import Evidence, Text, read_moment, read_month
from api.paging import decode, encode, page
from plant.errors import BadDocument


def test_a_cursor_gives_back_the_key_it_was_made_of() -> None:
    cursor = encode("2026-11-20T00:00:00.123456Z", "钢厂", 7)
    at = datetime(2026, 11, 20, 0, 0, 0, 123456, tzinfo=UTC)
    assert decode(cursor, datetime, str, int) == (at, "钢厂", 7)
    assert decode(None, datetime) is None


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("%%%", id="no_base64"),
        pytest.param("AAAA", id="no_json"),
        pytest.param(encode("x"), id="no_time"),
        pytest.param(encode("2026-11-20T00:00:00"), id="a_time_without_an_offset"),
        pytest.param(encode("2026-11-20T00:00:00Z", 1), id="a_key_of_another_list"),
        pytest.param(encode(7), id="a_number_for_a_time"),
        pytest.param("é", id="no_ascii"),
    ],
)
def test_what_no_list_gave_out_is_no_cursor(cursor: str) -> None:
    with pytest.raises(BadDocument):
        decode(cursor, datetime)


def test_a_cursor_holds_nothing_that_the_database_cannot_take() -> None:
    with pytest.raises(BadDocument):
        decode(encode(2**63), int)
    with pytest.raises(BadDocument):
        decode(encode("\0"), str)
    with pytest.raises(BadDocument):
        decode(encode("\ud800"), str)


def test_a_page_has_a_next_only_where_there_is_more() -> None:
    def key(row: str) -> tuple[str]:
        return (row,)

    assert page(["a", "b"], 2, key) == {"items": ["a", "b"], "next": None}
    assert page(["a", "b", "c"], 2, key) == {"items": ["a", "b"], "next": encode("b")}
    assert page([], 2, key) == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-11-20T00:00:00Z", datetime(2026, 11, 20, tzinfo=UTC), id="z"),
        pytest.param(
            "2026-11-20T08:00:00 08:00", datetime(2026, 11, 20, tzinfo=UTC), id="a_plus_that_the_query_made_a_space"
        ),
        pytest.param(
            "2026-11-20T08:00:00.5-05:00",
            datetime(2026, 11, 20, 8, 0, 0, 500_000, tzinfo=timezone(-timedelta(hours=5))),
            id="west_with_a_fraction",
        ),
    ],
)
def test_times_are_read_with_their_offset(text: str, expected: datetime) -> None:
    assert read_moment(text) == expected


@pytest.mark.parametrize("text", ["2026-11-20T00:00:00", "2026-11-20", "yesterday", "1795161600000", "", None])
def test_what_says_no_instant_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="offset"):
        read_moment(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:30:00Z"])
def test_an_instant_at_the_edge_of_the_calendar_is_refused_before_a_zone_falls_over_it(text: str) -> None:
    with pytest.raises(ValueError, match="must lie in the years 1000 to 8999"):
        read_moment(text)


def test_a_month_is_seven_characters() -> None:
    assert read_month("2026-11") == date(2026, 11, 1)
    for wrong in ("2026-13", "2026-1", "2026-11-01", "202611", None):
        with pytest.raises(ValueError, match="month"):
            read_month(wrong)


class _Body(BaseModel):
    text: Text = "x"
    evidence: Evidence = []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"text": "a\0b"}, id="nul"),
        pytest.param({"text": "\ud800"}, id="half_a_pair"),
        pytest.param({"text": "   "}, id="blank"),
        pytest.param({"evidence": [{"deep": ["\0"]}]}, id="nul_deep_inside"),
        pytest.param({"evidence": [{"\0": 1}]}, id="nul_in_a_key"),
        pytest.param({"evidence": [float("nan")]}, id="not_a_number"),
    ],
)
def test_what_the_database_cannot_hold_is_refused_at_the_door(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _Body.model_validate(body)


def test_a_backslash_u_that_a_person_typed_is_just_text() -> None:
    assert _Body.model_validate({"text": "\\u0000", "evidence": ["\\u0000"]}).text == "\\u0000"
