"""The same judging on a Ray cluster: every cut and every conclusion is a task, what lies between stays in its store.

Ray is an optional extra. Its address is the setting `ray_address`: `auto` joins the cluster that this machine is part
of, `local` starts one on this machine alone, `ray://HOST:10001` asks a distant one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from alerts.backtest.judging import Blocks, Part, join_blocks
from alerts.backtest.results import Result
from alerts.backtest.running import Cut, OnHours, Source, cuts_of
from plant.errors import Unavailable

ANSWER_S: Final = 10.0
AT_ONCE: Final = 256  #: tasks that have been given out and not taken in: what is read ahead is bounded


def judge_on_cluster(source: Source, address: str, on_hours: OnHours = lambda hours: None) -> Result:
    """What `alerts.backtest.running.judge_history` gives, by the machines of the cluster at *address*.

    Raises
    ------
    Unavailable
        Where Ray is not installed, there is no cluster, or a task failed on it.
    """
    with _joined(address) as ray:
        held = ray.put(source)
        judge, part_of, blocks_of, conclude = (ray.remote(task) for task in (_judge, _part_of, _blocks_of, _conclude))
        result = Result()
        waiting: list[Any] = []
        for site in source.sites.values():
            span = source.span(site)
            if span is None:
                continue
            parts: dict[str, list[Any]] = {stack.code: [] for stack in site.stacks}
            under_way: list[Any] = []
            for cut in cuts_of(site, span):
                judged, hours = judge.options(num_returns=2).remote(held, cut)
                under_way.append(hours)
                for code in cut.stacks:
                    parts[code].append(part_of.remote(judged, code))
                if len(under_way) >= AT_ONCE:
                    on_hours(_taken(ray, [under_way.pop(0)])[0])
            blocks = {code: blocks_of.remote(*of) for code, of in parts.items()}
            for hours in under_way:
                on_hours(_taken(ray, [hours])[0])
            for code, of in parts.items():
                others = [other for other in parts if other != code]
                siblings = [blocks[other] for other in others]
                waiting.append(conclude.remote(held, site.code, code, len(of), span.now, others, *of, *siblings))
                if len(waiting) >= AT_ONCE:
                    result.add(_taken(ray, [waiting.pop(0)])[0])
        for done in waiting:
            result.add(_taken(ray, [done])[0])
        return result.within(source.asked.first, source.asked.end)


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise Unavailable("Ray is not installed: pip install 'stackwatch[ray]'") from error
    if ray.is_initialized():  # somebody's own session: it is left as it was
        yield ray
        return
    _knock(address)
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
    except (ConnectionError, ValueError, TimeoutError) as error:
        raise Unavailable(f"no Ray cluster at {address}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself asks an address for minutes where nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise Unavailable(f"no Ray cluster at {address}: {error}") from error


def _taken(ray: Any, references: list[Any]) -> list[Any]:
    try:
        taken: list[Any] = ray.get(references)
        return taken
    except ray.exceptions.RayError as error:
        raise Unavailable(f"a task failed on the cluster: {error}") from error


def _judge(source: Source, cut: Cut) -> tuple[Mapping[str, Part], int]:
    return source.judge(cut), cut.hours


def _part_of(parts: Mapping[str, Part], code: str) -> Part:
    return parts[code]


def _blocks_of(*parts: Part) -> Blocks:
    return join_blocks(parts)


def _conclude(
    source: Source, site: str, stack: str, n_parts: int, now: int, others: list[str], *parts_and_blocks: Any
) -> Result:
    """References that stand by themselves are handed over as values, so they come in a row here."""
    siblings = dict(zip(others, parts_and_blocks[n_parts:], strict=True))
    return source.conclude(site, stack, parts_and_blocks[:n_parts], siblings, now)
