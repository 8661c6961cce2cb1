from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge import agent_watch
from edge.agent_file import AgentPlan, read_agent_file
from edge.agent_watch import AgentFileWatch, is_due
from fakes.polling import until

pytestmark = pytest.mark.anyio

AGENT = """
site = "s"
edge = "e"
[[trace]]
file = "trace.csv"
stack = "DA001"
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    (tmp_path / "trace.csv").write_text("time,so2\n2026-01-01T00:00:00Z,1\n")
    (tmp_path / "edge.toml").write_text(AGENT)
    return tmp_path / "edge.toml"


def rewrite(agent: Path, text: str) -> None:
    agent.write_text(text)


def watching(agent: Path, *, poll_s: float = 0.01) -> tuple[AgentFileWatch, asyncio.Task[AgentPlan]]:
    watch = AgentFileWatch(agent, read_agent_file(agent), poll_s=poll_s)
    return watch, asyncio.create_task(watch.next_plan(), name="watch")


async def test_a_changed_file_gives_the_next_plan(agent: Path) -> None:
    watch, task = watching(agent)
    rewrite(agent, AGENT + "speed = 2\n")
    plan = await asyncio.wait_for(task, 20)
    assert len(plan.sources) == 1
    assert (watch.reloads, watch.trouble) == (1, None)


async def test_a_file_that_the_agent_file_names_counts_too(agent: Path) -> None:
    before = read_agent_file(agent)
    _, task = watching(agent)
    (agent.parent / "trace.csv").write_text("time,so2\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2\n")
    plan = await asyncio.wait_for(task, 20)
    assert plan.sources[0].made_from != before.sources[0].made_from


async def test_a_broken_file_changes_nothing_and_is_said_until_it_is_mended(agent: Path) -> None:
    watch, task = watching(agent)
    rewrite(agent, AGENT + "sped = 2\nstep = 'soon'\n")
    await until(lambda: watch.trouble is not None)
    assert not task.done()
    assert "trace[0].sped" in str(watch.trouble)
    assert "trace[0].step" in str(watch.trouble)
    rewrite(agent, AGENT)
    await asyncio.wait_for(task, 20)
    assert watch.trouble is None


async def test_who_an_edge_is_cannot_change_while_it_runs(agent: Path) -> None:
    watch, task = watching(agent)
    rewrite(agent, AGENT.replace('"s"', '"other"').replace('edge = "e"', 'edge = "e"\noutbox = "elsewhere"'))
    await until(lambda: watch.trouble is not None)
    assert str(watch.trouble) == "site: was changed: that needs a restart; outbox: was changed: that needs a restart"
    task.cancel()


async def test_asking_reads_the_file_again_though_nothing_changed(agent: Path) -> None:
    watch, task = watching(agent, poll_s=60.0)
    watch.ask()
    assert (await asyncio.wait_for(task, 20)).site == "s"


def test_a_file_that_is_still_being_written_is_left_to_rest() -> None:
    file = Path("edge.toml")
    old, part, whole = {file: (90, 1)}, {file: (40, 2)}, {file: (95, 3)}
    assert not is_due(old, old, old)
    assert not is_due(old, old, part)
    assert not is_due(old, part, whole)
    assert is_due(old, whole, whole)
    assert not is_due(whole, whole, whole)


async def test_a_fault_in_a_reader_is_a_refusal_and_not_the_end(
    agent: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch, task = watching(agent)

    def breaks(file: Path) -> AgentPlan:
        raise ZeroDivisionError(file.name)

    with monkeypatch.context() as patched:
        patched.setattr(agent_watch, "read_agent_file", breaks)
        watch.ask()
        await until(lambda: watch.trouble is not None)
    assert watch.trouble == "a fault of ours while reading it: ZeroDivisionError"
    assert [record.message for record in caplog.records] == ["agent_file_reader_failed", "agent_file_refused"]
    watch.ask()
    assert (await asyncio.wait_for(task, 20)).site == "s"
