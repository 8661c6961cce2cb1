"""The benchmark of latency knows beforehand which message shows that an hour is lost; the rules must agree."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np

from alerts.hours import judge_rows
from alerts.subject import Subject
from benchmarks import latency, stacks
from benchmarks.latency import INSTANTS_A_MESSAGE, INTERVAL_S, PERIOD_S, Timed
from plant.packs import outlets_by_pack
from plant.periods import micros
from plant.readings import Rows
from plant.register import read_register

SECONDS = 120.0


def subjects() -> dict[str, Subject]:
    tables = stacks.register(latency.SITES * stacks.STACKS_A_SITE, simulated=True)
    found = read_register(tables, "bench", packs=outlets_by_pack())
    return {
        stack.code: Subject(site_id=1, stack_id=number, site=site, stack=stack)
        for site in found.sites
        for number, stack in enumerate(site.stacks)
    }


def rows_until(site: int, own: int, message: int, start: datetime) -> Rows:
    """The rows of a stack in an hour as far as its site's message *message* brings them."""
    code = stacks.stack_code(site * stacks.STACKS_A_SITE + own)
    times, so2 = [], []
    first = int((start - latency.begins(site)).total_seconds()) // (INSTANTS_A_MESSAGE * INTERVAL_S)
    for number in range(first, message + 1):
        frame = json.loads(latency.message(site, number))
        for place, stack in enumerate(frame["stack"]):
            if stack == code and frame["sampled_at"][place] >= start.timestamp() * 1000:
                times.append(frame["sampled_at"][place] * 1000)
                so2.append(frame["so2"][place])
    n = len(times)
    return Rows(
        sampled_at=np.array(times, np.int64),
        interval_s=np.full(n, INTERVAL_S),
        not_running=np.zeros(n, bool),
        values={"so2": np.array(so2), "o2": np.full(n, latency.O2)},
        flags={},
        row_flag=np.full(n, ord("N"), np.uint8),
    )


def is_found(subject: Subject, pack: str, rows: Rows, start: datetime) -> bool:
    now = int(rows.sampled_at[-1]) if rows.sampled_at.size else micros(start)
    judged = judge_rows(subject, {"main": rows}, first=micros(start), n_hours=1, now=now)
    return any(finding.series.rule == latency.RULE and finding.series.pack == pack for finding in judged.findings)


def test_each_hour_that_rises_is_lost_with_the_message_that_the_benchmark_expects() -> None:
    timed, known = Timed(), subjects()
    latency.expect(timed, known, SECONDS)
    assert len(timed.due) > 40
    for (_, code, pack, text), (site, message) in list(timed.due.items())[::7]:
        start = datetime.fromisoformat(text)
        own = int(code.removeprefix("S")) - site * stacks.STACKS_A_SITE
        assert is_found(known[code], pack, rows_until(site, own, message, start), start)
        assert not is_found(known[code], pack, rows_until(site, own, message - 1, start), start)


def test_rows_come_at_the_rate_that_is_told() -> None:
    rows = INSTANTS_A_MESSAGE * stacks.STACKS_A_SITE * latency.SITES / PERIOD_S
    assert rows == latency.RATE
    assert latency.begins(1) - latency.begins(0) == timedelta(seconds=360)
    assert latency.begins(0) > stacks.START, "behind the month that every stack has"
