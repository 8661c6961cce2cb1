"""What new rows set in motion, by column as row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestor.rows import KnownSite, KnownStack
from ingestor.touched import Clocks, StackHour, clocks, hours
from plant.blocks import Block, IncomingRow, block_of
from plant.merging import Version
from plant.periods import HOUR, MINUTE, SECOND, hour_start, hour_starts, instant, micros

ZONES: Final = ("Asia/Shanghai", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Monrovia")
#: The clocks of Lord Howe go back by half an hour at 15:00Z on this day, in the middle of an hour of theirs.
AT: Final = micros(datetime(2026, 4, 4, 12, tzinfo=UTC))


def a_site(site_id: int, zone: str, *, simulated: bool = False) -> KnownSite:
    stacks = {f"DA{n}": KnownStack(stack_id=10 * site_id + n, interval_s=60, stamped_at_end=n == 1) for n in range(2)}
    return KnownSite(site_id=site_id, simulated=simulated, timezone=zone, stacks=stacks)


SITES: Final = [a_site(place + 1, zone, simulated=place == 1) for place, zone in enumerate(ZONES)]
STACKS: Final = {known.stack_id: (site, known) for site in SITES for known in site.stacks.values()}

rows = st.lists(
    st.tuples(
        st.sampled_from(sorted(STACKS)),
        st.integers(0, 6 * 3600).map(lambda second: AT + second * SECOND) | st.integers(0, 10**12),
        st.sampled_from([1, 60, 3600]),
    ),
    min_size=1,
    max_size=20,
)


def a_block(some: list[tuple[int, int, int]]) -> Block:
    said = [
        Version(revision=0, sent_at=None, interval_s=s, flag="N", flags={}, state=None, values={}) for *_, s in some
    ]
    return block_of([IncomingRow(stack, "main", at, v) for (stack, at, _), v in zip(some, said, strict=True)])


def hours_of(stack_id: int, at: int, interval_s: int) -> set[StackHour]:
    site, known = STACKS[stack_id]
    start = at - interval_s * SECOND if known.stamped_at_end else at
    first = hour_start(start, ZoneInfo(site.timezone))
    reached = [first, first + HOUR] if start + interval_s * SECOND > first + HOUR else [first]
    return {(stack_id, instant(hour)) for hour in reached}


@given(rows)
def test_the_hours_are_those_of_each_row(some: list[tuple[int, int, int]]) -> None:
    some = [(stack, max(at, HOUR), interval_s) for stack, at, interval_s in some]
    block = a_block(some)
    assert hours(block, block.interval_s, SITES) == {hour for row in some for hour in hours_of(*row)}


@given(rows)
def test_the_clocks_are_the_newest_rows(some: list[tuple[int, int, int]]) -> None:
    newest: dict[int, int] = {}
    for stack, at, _ in some:
        newest[stack] = max(at, newest.get(stack, 0))
    simulated = [at for stack, at in newest.items() if STACKS[stack][0].simulated]
    assert clocks(a_block(some), SITES) == Clocks(
        sites={2: instant(max(simulated))} if simulated else {},
        stacks={stack: instant(at) for stack, at in newest.items()},
    )


@given(st.lists(st.integers(0, 7 * 10**15), min_size=1, max_size=10), st.sampled_from(ZONES))
def test_the_starts_of_many_hours_are_those_of_each(times: list[int], zone: str) -> None:
    expected = [hour_start(at, ZoneInfo(zone)) for at in times]
    assert hour_starts(np.array(times), ZoneInfo(zone)).tolist() == expected


def test_an_hour_in_which_the_clocks_change_is_cut_where_they_say() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    times = np.arange(AT, AT + 6 * HOUR, 7 * MINUTE)
    assert hour_starts(times, zone).tolist() == [hour_start(at, zone) for at in times.tolist()]
