"""What became of one attempt to deliver, and when the next one is made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

from plant.retry import delay_s

FIRST_S: Final = 5.0
CEILING_S: Final = 15 * 60.0
LONGEST_ASKED_S: Final = 6 * 3_600.0  #: who asks for more patience than this is asked again all the same
GIVE_UP_S: Final = 72 * 3_600.0
"""Standard Webhooks recommends a schedule "spanning multiple days"; its example ends after 75 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It was not taken. The reason names no secret and repeats nothing that the other side said."""

    reason: str
    retry_after_s: float | None = None  #: what the other side asks for
    gone: bool = False  #: it will never take anything again


Outcome = Failed | None
"""None: it was taken."""


def next_try_s(failures: int, failed: Failed, rng: Random) -> float:
    """How long to leave a receiver alone that failed *failures* times in a row before this time. [s]"""
    own = delay_s(failures, rng, first_s=FIRST_S, ceiling_s=CEILING_S)
    return max(own, min(failed.retry_after_s or 0.0, LONGEST_ASKED_S))


def of_status(status: int, retry_after: str | None, *, now: datetime) -> Outcome:
    """What an HTTP answer means: 2xx is success, everything else is none (Standard Webhooks 1.0.0)."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Failed(reason=f"answered {status}: redirects are not followed, change the URL")
    if status == 410:
        return Failed(reason="answered 410 Gone", gone=True)
    return Failed(reason=f"answered {status}", retry_after_s=seconds_asked(retry_after, now=now))


def seconds_asked(retry_after: str | None, *, now: datetime) -> float | None:
    """A header `Retry-After` in seconds from *now* (RFC 9110, 10.2.3); None where it says nothing."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):  # the other side may write any number
        return None
    return max(0.0, (at - now).total_seconds()) if at.tzinfo is not None else None
