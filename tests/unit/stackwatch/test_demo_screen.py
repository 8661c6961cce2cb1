"""What the demonstration shows in a terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from edge.replay import ReplayProgress
from stackwatch.demo.show import Screen
from store.totals import Totals

NARROW = 80  #: columns, as a terminal opens


@pytest.mark.parametrize("columns", [NARROW, 200])
def test_the_numbers_are_seen_however_narrow_the_terminal(columns: int) -> None:
    shown = StringIO()
    screen = Screen(Console(file=shown, force_terminal=True, width=columns), moving=True)
    screen.replayed(ReplayProgress(rows=17, total=7411, resumed_at=0, waiting=0, not_numbers=0, not_stamped=0))
    screen.counts(Totals(rows=23_801, hours=1_234, to_judge=55, alerts=678, cases=2, orders=1, lifted=0))
    screen.close()
    text = shown.getvalue()
    assert "17/7411" in text
    assert "1234/1289" in text
    assert "23801 rows, 678 alerts, 2 cases, 1 orders" in text
