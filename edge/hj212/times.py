"""Times of HJ 212: local time of China without an offset, UTC+8 the year round.

DataTime names a period by its start, a real-time value by its instant (4.7); QN is a time to the millisecond.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

CHINA: Final = timezone(timedelta(hours=8), "UTC+8")
CHINA_OFFSET_MS: Final = 8 * 3_600_000
_DIGITS: Final = re.compile(r"[0-9]{14}(?:[0-9]{3})?")


def epoch_ms(text: str) -> int | None:
    """`YYYYMMDDhhmmss`, with or without milliseconds, as epoch [ms]; None where it is no time."""
    return _epoch_ms(text) if _DIGITS.fullmatch(text) else None


@lru_cache(maxsize=1024)  # of short texts only: a peer chooses them
def _epoch_ms(text: str) -> int | None:
    try:
        date = (int(text[:4]), int(text[4:6]), int(text[6:8]))
        moment = datetime(*date, int(text[8:10]), int(text[10:12]), int(text[12:14]), tzinfo=CHINA)
        return int(moment.timestamp()) * 1000 + int(text[14:] or 0)
    except (ValueError, OverflowError):
        return None


def data_time(at_ms: int) -> str:
    """Epoch [ms] as `YYYYMMDDhhmmss`; milliseconds are cut off."""
    return _local(at_ms).strftime("%Y%m%d%H%M%S")


def qn(at_ms: int) -> str:
    """Epoch [ms] as the number of an exchange: `YYYYMMDDhhmmsszzz`."""
    return f"{data_time(at_ms)}{at_ms % 1000:03d}"


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(CHINA)
