"""What an answer means, and when the next attempt is made."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notify.outcomes import CEILING_S, LONGEST_ASKED_S, Failed, next_try_s, of_status, seconds_asked

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_two_hundreds_are_success(status: int) -> None:
    assert of_status(status, None, now=NOW) is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 502, 503, 504])
def test_everything_else_is_none(status: int) -> None:
    outcome = of_status(status, None, now=NOW)
    assert isinstance(outcome, Failed)
    assert not outcome.gone
    assert str(status) in outcome.reason


def test_gone_is_final() -> None:
    assert of_status(410, "60", now=NOW) == Failed(reason="answered 410 Gone", gone=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param("Sat, 21 Nov 2026 10:05:00 GMT", 300.0, id="a_date"),
        pytest.param("Sat, 21 Nov 2026 09:00:00 GMT", 0.0, id="a_date_that_is_past"),
        pytest.param("soon", None, id="nonsense"),
        pytest.param("-5", None, id="a_negative_number"),
        pytest.param("Sat, 21 Nov 2026 10:05:00 +999999999999999999", None, id="a_zone_that_no_number_holds"),
        pytest.param("Sat, 21 Nov 99999999999 10:05:00 GMT", None, id="a_year_that_no_number_holds"),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert seconds_asked(header, now=NOW) == seconds


@given(st.integers(0, 10_000), st.floats(0, 1e9), st.integers())
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_we_have_patience(
    failures: int, asked: float, seed: int
) -> None:
    wait = next_try_s(failures, Failed(reason="x", retry_after_s=asked), Random(seed))
    assert min(asked, LONGEST_ASKED_S) <= wait <= max(CEILING_S, LONGEST_ASKED_S)


def test_waits_grow_and_differ() -> None:
    first = {next_try_s(0, Failed(reason="x"), Random(seed)) for seed in range(20)}
    late = [next_try_s(20, Failed(reason="x"), Random(seed)) for seed in range(20)]
    assert len(first) == 20, "those that failed together do not return together"
    assert max(first) <= 5.0 < min(late) <= max(late) <= CEILING_S
