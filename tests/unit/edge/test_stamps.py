from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.stamps import Restamp, Stamps, epoch_ms, parse_shift, parse_step, parse_time, parse_zone
from plant.errors import BadDocument

NEW_YEAR_MS = 1_735_689_600_000
CHINA = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("written", "zone", "expected"),
    [
        pytest.param("2025-01-01 08:00", CHINA, NEW_YEAR_MS, id="minutes"),
        pytest.param("2025/1/1 8:00:00", CHINA, NEW_YEAR_MS, id="slashes_without_zeros"),
        pytest.param("20250101080000", CHINA, NEW_YEAR_MS, id="as_hj_212_writes_it"),
        pytest.param("2025-01-01", UTC, NEW_YEAR_MS, id="a_day"),
        pytest.param("2025-01-01 8", CHINA, NEW_YEAR_MS, id="a_date_and_an_hour"),
        pytest.param("2025-01-01T00:00:00Z", CHINA, NEW_YEAR_MS, id="its_own_offset_wins"),
        pytest.param(NEW_YEAR_MS, CHINA, NEW_YEAR_MS, id="epoch_milliseconds"),
        pytest.param(datetime(2025, 1, 1, 8), CHINA, NEW_YEAR_MS, id="a_naive_time_of_parquet"),  # noqa: DTZ001
        pytest.param("2025-01-01 08:00", None, None, id="no_zone_no_time"),
        pytest.param("2025-13-01 08:00", CHINA, None, id="no_such_month"),
        pytest.param("01/02/2025", CHINA, None, id="which_is_the_month"),
        pytest.param("0001-01-01T00:00:00+14:00", None, -62_135_647_200_000, id="the_first_day"),
        pytest.param(True, CHINA, None, id="a_truth"),
        pytest.param(None, CHINA, None, id="nothing"),
    ],
)
def test_times_are_read_as_files_write_them_and_never_guessed(written: Any, zone: tzinfo | None, expected: int) -> None:
    assert epoch_ms(written, zone) == expected


def test_a_time_in_the_hour_that_comes_twice_is_the_first_of_them() -> None:
    at = epoch_ms("2025-11-02 01:30", ZoneInfo("America/New_York"))
    assert at == round(datetime(2025, 11, 2, 5, 30, tzinfo=UTC).timestamp() * 1000)


def test_two_columns_are_joined_and_moved_together() -> None:
    stamps = Stamps(columns=("Date", "Hour"), zone=CHINA, shift_ms=-3_600_000)
    assert stamps.of(0, {"Date": "2025-01-01", "Hour": " 9 "}) == NEW_YEAR_MS
    assert stamps.of(0, {"Date": "2025-01-01", "Hour": None}) == NEW_YEAR_MS - 9 * 3_600_000
    assert stamps.of(0, {"Date": None, "Hour": "9"}) is None


def test_a_time_beyond_all_times_is_none() -> None:
    assert Stamps(columns=("t",)).of(0, {"t": 1 << 60}) is None
    assert Stamps(restamp=Restamp(0, 10**15)).of(10**6, {}) is None


def test_new_times_follow_the_number_of_the_row_not_its_own_time() -> None:
    stamps = Stamps(columns=("t",), restamp=Restamp(NEW_YEAR_MS, 60_000))
    assert [stamps.of(n, {"t": "gone"}) for n in (0, 1, 7)] == [NEW_YEAR_MS + n * 60_000 for n in (0, 1, 7)]


@pytest.mark.parametrize(
    ("text", "ms"),
    [("365d", 31_536_000_000), ("+8h", 28_800_000), ("-30min", -1_800_000), ("- 10 s", -10_000), ("0s", 0)],
)
def test_a_shift_goes_either_way(text: str, ms: int) -> None:
    assert parse_shift(text) == ms


@pytest.mark.parametrize("text", ["", "8", "8 weeks", "--8h", "h", "1.5h", "٣h" * 300])
def test_what_is_no_span_is_said(text: str) -> None:
    for parse in (parse_shift, parse_step):
        with pytest.raises(BadDocument, match="must be a span"):
            parse(text)


def test_zones_by_offset_and_by_name() -> None:
    at = datetime(2025, 7, 1)  # noqa: DTZ001
    assert [parse_zone(text).utcoffset(at) for text in ("Z", "+08:00", "-0530", "Asia/Shanghai")] == [
        timedelta(0),
        timedelta(hours=8),
        timedelta(hours=-5, minutes=-30),
        timedelta(hours=8),
    ]


@pytest.mark.parametrize(
    "text", ["", "+25:00", "+08:61", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "x\0y", "a" * 300]
)
def test_what_is_no_zone_is_said(text: str) -> None:
    with pytest.raises(BadDocument, match="must be an offset"):
        parse_zone(text)


@given(value=st.text() | st.integers() | st.floats() | st.binary() | st.none() | st.datetimes())
def test_nothing_in_a_file_is_an_error_of_ours(value: Any) -> None:
    for zone in (None, CHINA, ZoneInfo("Asia/Shanghai")):
        found = epoch_ms(value, zone)
        assert found is None or isinstance(found, int)


@given(text=st.text(max_size=20))
def test_no_argument_is_an_error_of_ours(text: str) -> None:
    for parse in (parse_shift, parse_step, parse_time, parse_zone):
        try:
            parse(text)
        except BadDocument as error:
            assert error.faults  # noqa: PT017
