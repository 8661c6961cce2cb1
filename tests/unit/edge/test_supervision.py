from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, cast

import pytest

from edge import supervision
from edge.sources import Declared, Feed
from edge.supervision import Supervisor, troubled
from fakes.polling import until
from plant.errors import Unavailable

pytestmark = pytest.mark.anyio

FEED = cast(Feed, None)


class Scripted:
    """A source that ends its runs as told, then works until it is cancelled."""

    kind = "scripted"

    def __init__(self, name: str, *script: BaseException | None) -> None:
        self.name = name
        self.runs = 0
        self.working = False
        self.cancelled = 0
        self._script = list(script)

    async def run(self, feed: Feed) -> None:
        self.runs += 1
        if self._script:
            ending = self._script.pop(0)
            if ending is not None:
                raise ending
            return
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False
            self.cancelled += 1

    def state(self) -> Mapping[str, Any]:
        return {"ok": True, "detail": "scripted", "tolerated": {"odd_byte": 2}}


def declared(source: Any, made_from: str = "a") -> Declared:
    return Declared(source, made_from)


@pytest.fixture(autouse=True)
def _short_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FAULT_FIRST_S", 0.02)


async def test_a_source_whose_device_is_away_is_run_again_and_its_neighbour_never_notices() -> None:
    away, steady = Scripted("away", Unavailable("no answer"), Unavailable("no answer")), Scripted("steady")
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(away), declared(steady)])
        await until(lambda: away.working)
        assert (away.runs, steady.runs) == (3, 1)
        states = supervisor.states()
        assert (states["away"]["restarts"], states["steady"]["restarts"]) == (2, 0)
        assert troubled(states) == ()
    assert (away.cancelled, steady.cancelled) == (1, 1)


async def test_while_a_source_waits_its_state_says_why(caplog: pytest.LogCaptureFixture) -> None:
    changes: list[int] = []
    source = Scripted("s", *[Unavailable("no answer from 192.0.2.1")] * 50)
    async with Supervisor(FEED, rng=Random(1), on_change=lambda: changes.append(1)) as supervisor:
        await supervisor.declare([declared(source)])
        await until(lambda: source.runs >= 2 and not supervisor.states()["s"]["ok"])
        state = supervisor.states()["s"]
        assert state["detail"].startswith("no answer from 192.0.2.1; again in")
        assert state["tolerated"] == {"odd_byte": 2}
        assert troubled(supervisor.states()) == ("s",)
    assert changes
    assert not [record for record in caplog.records if record.exc_info]  # a device that is away is no fault in us


async def test_a_fault_in_a_source_is_logged_with_its_traceback_and_the_source_run_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Scripted("s", KeyError("so2"), ZeroDivisionError("by zero"))
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(source)])
        await until(lambda: source.working)
    failed = [record for record in caplog.records if record.message == "source_failed"]
    assert [record.exc_info[0] for record in failed if record.exc_info] == [KeyError, ZeroDivisionError]


async def test_a_group_of_devices_that_are_away_is_one_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    group = ExceptionGroup("devices", [Unavailable("one"), ExceptionGroup("more", [Unavailable("two")])])
    source = Scripted("s", group)
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(source)])
        await until(lambda: source.working)
    assert [record.message for record in caplog.records if "source_" in record.message] == ["source_unavailable"]


async def test_the_end_of_all_sources_is_seen_and_a_done_source_is_not_run_again() -> None:
    one, two = Scripted("one", None), Scripted("two", Unavailable("x"), None)
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(one), declared(two)])
        async with asyncio.timeout(10):
            await supervisor.finished()
        assert (one.runs, two.runs) == (1, 2)
        assert supervisor.states()["one"]["detail"] == "done: scripted"


async def test_a_new_declaration_stops_what_is_gone_starts_what_is_new_and_leaves_the_rest_alone() -> None:
    kept, gone, changed = Scripted("kept"), Scripted("gone"), Scripted("changed")
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(kept), declared(gone), declared(changed)])
        await until(lambda: kept.working and gone.working and changed.working)
        kept_again, changed_now, new = Scripted("kept"), Scripted("changed"), Scripted("new")
        change = await supervisor.declare([declared(new), declared(kept_again), declared(changed_now, "b")])
        await until(lambda: changed_now.working and new.working)
        assert (change.started, set(change.stopped), change.kept) == (
            ("new", "changed"),
            {"gone", "changed"},
            ("kept",),
        )
        assert (kept.working, gone.working, changed.working, kept_again.runs) == (True, False, False, 0)
        assert list(supervisor.states()) == ["new", "kept", "changed"]


class Babbling(Scripted):
    def state(self) -> Mapping[str, Any]:
        return {"ok": True, "detail": "x\n" * 10_000, "tolerated": {f"k{n}": n for n in range(1000)}, "more": object()}


class Sending(Scripted):
    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "connected": True, "waiting": 3, "refused": {4: 2}, "restarts": 99}


async def test_what_else_a_source_says_goes_out_as_its_figures() -> None:
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(Sending("s"))])
        (state,) = supervisor.states().values()
    assert state["figures"] == {"connected": True, "waiting": 3, "refused": {"4": 2}}
    assert state["restarts"] == 0


class Mute(Scripted):
    def state(self) -> Mapping[str, Any]:
        raise RuntimeError("cannot say")


async def test_what_sources_say_is_bounded_and_cannot_break_the_state_message() -> None:
    async with Supervisor(FEED, rng=Random(1)) as supervisor:
        await supervisor.declare([declared(Babbling("b")), declared(Mute("m"))])
        states = supervisor.states()
    assert len(states["b"]["detail"]) <= 200
    assert "\n" not in states["b"]["detail"]
    assert len(states["b"]["tolerated"]) <= 32
    assert set(states["b"]) == {"kind", "ok", "detail", "tolerated", "restarts"}
    assert not states["m"]["ok"]
    assert "cannot say" in states["m"]["detail"]
