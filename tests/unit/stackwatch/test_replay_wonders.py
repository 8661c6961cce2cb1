"""A replay for whose rows no receipt comes says what may be missing."""

from __future__ import annotations

import pytest

from edge.publisher import PublisherStats
from stackwatch.commands.replay import _wonder


def stats(*, connected: bool, receipt_age_s: float | None) -> PublisherStats:
    return PublisherStats(
        connected=connected,
        connections=1,
        in_flight=1,
        sent=1,
        resent=0,
        settled_frames=0,
        settled_rows=0,
        refused_rows=0,
        receipt_age_s=receipt_age_s,
    )


def test_it_asks_whether_the_site_is_registered(capsys: pytest.CaptureFixture[str]) -> None:
    _wonder(stats(connected=True, receipt_age_s=None), "nope")
    assert "is site 'nope' registered, and does an ingestor run?" in capsys.readouterr().err


@pytest.mark.parametrize(("connected", "receipt_age_s"), [(True, 0.5), (False, None)])
def test_it_is_silent_where_receipts_come_or_the_broker_is_away(
    connected: bool, receipt_age_s: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    _wonder(stats(connected=connected, receipt_age_s=receipt_age_s), "works")
    assert capsys.readouterr().err == ""
