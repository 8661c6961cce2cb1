"""What other people's tests get: a works on its own clock, and the plugin that hands it to them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.simulator.played import SimulatedSite, rows_of_frame
from plant.errors import BadDocument
from plant.packs import outlets_by_pack
from plant.register import parse_register


def test_three_hours_are_a_hundred_and_eighty_rows_and_move_the_clock() -> None:
    site = SimulatedSite()
    begin = site.now
    rows = site.play(hours=3)
    assert len(rows) == 180
    assert site.now - begin == timedelta(hours=3)
    assert rows[0]["sampled_at"] == begin.timestamp() * 1000
    assert {"stack", "so2", "nox", "pm", "o2", "flow"} <= set(rows[0])


def test_playing_in_pieces_is_playing_at_once() -> None:
    one, two = SimulatedSite("faults", seed=5), SimulatedSite("faults", seed=5)
    pieces = [row for _ in range(24) for row in one.play(hours=2)]
    assert pieces == two.play(days=2)
    assert one.truth() == two.truth()


def test_what_is_injected_shows_in_the_rows_and_in_the_truth() -> None:
    site = SimulatedSite()
    clean = site.play(hours=2)
    fault_id = site.inject("scr_trip", "DA001", hours=2)
    broken = site.play(hours=3)
    assert max(row["nox"] for row in broken) > 3 * max(row["nox"] for row in clean if row["flag"] == "N")
    (found,) = site.truth()["faults"]
    assert (found["id"], found["kind"]) == (fault_id, "scr_trip")
    assert datetime.fromisoformat(found["start"]) == site.now - timedelta(hours=3)


def test_an_order_stops_the_units_it_names_until_they_are_free() -> None:
    site = SimulatedSite(start=datetime(2026, 5, 1, tzinfo=UTC))
    site.order(["S1"])
    assert site.play(hours=2)[-1]["state"] == "stopped"
    site.order([])
    assert site.play(hours=3)[-1]["state"] == "running"
    with pytest.raises(ValueError, match="sleep"):
        site.order(["S1"], mode="sleep")


def test_a_frame_is_what_an_edge_sends() -> None:
    site = SimulatedSite("demo", site="my-works")
    (frame,) = site.frames(hours=1)
    assert frame["schema"] == 1
    assert len(rows_of_frame(frame)) == 180
    register = parse_register(site.register_toml(), "register", packs=outlets_by_pack())
    assert [one.code for one in register.sites] == ["my-works"]
    assert tuple(stack.code for stack in register.sites[0].stacks) == site.stacks


def test_what_cannot_be_is_refused_with_its_reasons() -> None:
    site = SimulatedSite()
    with pytest.raises(BadDocument, match="stack"):
        site.inject("scr_trip", "NONE", hours=1)
    with pytest.raises(BadDocument, match="hours"):
        site.inject("scr_trip", "DA001", hours=0)
    with pytest.raises(BadDocument, match="leak"):
        site.inject("bag_leak", "DA001", hours=1, leak=7.0)
    with pytest.raises(ValueError, match="whole steps"):
        site.play(minutes=0.5)


PROGRAM = """
import sys
import pytest

def test_before(request):
    assert "numpy" not in sys.modules

@pytest.mark.stackwatch_site(scenario="demo", seed=3)
def test_played(stackwatch_site):
    assert len(stackwatch_site.play(hours=1)) == 180
    assert stackwatch_site.seed == 3

def test_default(stackwatch_site):
    assert stackwatch_site.code == "one-works"
"""


#: Whether or not the plugin is installed too, it is loaded once.
OPTIONS = ("-q", "--strict-markers", "-c", "/dev/null", "-p", "no:stackwatch", "-p", "edge.simulator.pytest_plugin")


def test_the_plugin_gives_a_works_to_a_test_and_loads_nothing_before(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).resolve().parents[4],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
