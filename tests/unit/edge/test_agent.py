from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.agent import read_agent_file
from edge.serve import check
from edge.trace import Restamp
from plant.errors import BadDocument
from plant.settings import Settings

AGENT = """
site = "tangshan-1"
edge = "edge-1"
outbox = "memory"
max_mb = 64
policy = "refuse"

[[trace]]
file = "trace.csv"
stack = "GT1"
map = { AT = "temperature" }
from = 2025-01-01T08:00:00+08:00
step = "1h"
speed = 60

[[simulation]]
scenario = "demo"
speed = 10
seed = 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trace.csv").write_text("AT,NOX\n4.5,81.9\n")
    return tmp_path


def an_agent(folder: Path, text: str = AGENT) -> Path:
    (folder / "edge.toml").write_text(text)
    return folder / "edge.toml"


def test_an_agent_file_says_which_edge_this_is_and_what_feeds_it(folder: Path) -> None:
    plan = read_agent_file(an_agent(folder))
    assert (plan.site, plan.edge, plan.folder) == ("tangshan-1", "edge-1", folder / "memory")
    assert (plan.max_bytes, plan.policy) == (64 << 20, "refuse")
    (trace,) = plan.traces
    start_ms = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert trace.restamp == Restamp(start_ms, 3_600_000)
    assert (trace.channels, trace.speed) == ({"AT": "temperature", "NOX": "nox"}, 60.0)
    (simulation,) = plan.simulations
    assert (simulation.scenario.name, simulation.speed, simulation.seed) == ("demo", 10.0, 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("site = 3", "site: must be a name", id="site"),
        pytest.param(AGENT.replace("speed = 10", "sped = 10"), "simulation[0].sped", id="misspelt"),
        pytest.param(AGENT.replace('"demo"', '"nightmare"'), "there are demo", id="unknown_scenario"),
        pytest.param(AGENT.replace("trace.csv", "no.csv"), "there is no such file", id="no_trace"),
        pytest.param(AGENT.replace("AT =", "XT ="), "its columns are AT, NOX", id="no_column"),
        pytest.param(AGENT.replace('"1h"', '"soon"'), "must be a span", id="step"),
        pytest.param(AGENT.replace("+08:00", ""), "needs an offset", id="local_time"),
        pytest.param('site = "a"\nedge = "b"', "has no source", id="nothing_to_do"),
        pytest.param("site = ", "cannot be read", id="no_toml"),
    ],
)
def test_what_is_wrong_in_an_agent_file_is_said(folder: Path, text: str, said: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_agent_file(an_agent(folder, text))
    assert said in str(caught.value)


def test_checking_reports_what_the_agent_would_do(folder: Path) -> None:
    said = check(Settings(mqtt_url="mqtt://localhost"), an_agent(folder))
    assert "edge edge-1 of site tangshan-1: 1 traces with 1 rows, 1 simulations" in said
    for settings in (Settings(), Settings(mqtt_url="http://x"), Settings(mqtt_url="mqtt://x", order_public_key="x")):
        with pytest.raises(BadDocument):
            check(settings, an_agent(folder))


def test_an_agent_without_simulator_needs_no_numpy_and_no_pyarrow() -> None:
    program = (
        "import sys; import edge.serve, edge.agent, edge.replay, edge.orders, edge.outbox; "
        "print(sorted({'numpy', 'pyarrow', 'psycopg', 'pydantic', 'store'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
