from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import sources
from edge.agent_file import AgentPlan, read_agent_file
from edge.replay import TraceSource
from edge.serve import check
from edge.simulated import SimulationSource
from edge.sources import KINDS, Context, Feed, Kind, Source
from edge.stamps import Restamp
from edge.units import UNITS
from plant.errors import BadDocument, Fault
from plant.reading import Reader
from plant.settings import Settings

AGENT = """
site = "tangshan-1"
edge = "edge-1"
outbox = "memory"
max_mb = 64
max_days = 30
drain_rows_per_s = 500
policy = "refuse"

[status]
port = 8099

[hook]
command = ["./tell", "--duty"]
deadline_s = 5

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
    (tmp_path / "tell").write_text("#!/bin/sh\n")
    (tmp_path / "tell").chmod(0o755)
    return tmp_path


def an_agent(folder: Path, text: str = AGENT) -> Path:
    (folder / "edge.toml").write_text(text, encoding="utf-8")
    return folder / "edge.toml"


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadDocument) as caught:
        read_agent_file(an_agent(folder, text))
    return [str(fault) for fault in caught.value.faults]


def test_an_agent_file_says_which_edge_this_is_and_what_feeds_it(folder: Path) -> None:
    plan = read_agent_file(an_agent(folder))
    assert (plan.site, plan.edge, plan.folder) == ("tangshan-1", "edge-1", folder / "memory")
    assert (plan.max_bytes, plan.policy, plan.status_port) == (64 << 20, "refuse", 8099)
    assert (plan.max_age_s, plan.drain_rows_per_s) == (30 * 86_400, 500)
    assert plan.hook is not None
    assert (plan.hook.command, plan.hook.deadline_s) == ((str(folder / "tell"), "--duty"), 5.0)
    trace, simulation = (declared.source for declared in plan.sources)
    assert isinstance(trace, TraceSource)
    assert isinstance(simulation, SimulationSource)
    assert (trace.name, simulation.name) == ("trace-1", "simulation-1")
    start_ms = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert trace.plan.stamps.restamp == Restamp(start_ms, 3_600_000)
    assert (trace.plan.channels, trace.plan.speed) == ({"AT": "temperature", "NOX": "nox"}, 60.0)
    assert (simulation.plan.scenario.name, simulation.plan.speed, simulation.plan.seed) == ("demo", 10.0, 7)
    assert set(plan.files) == {folder / "edge.toml", folder / "trace.csv"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("site = 3", "site: must be a name", id="site"),
        pytest.param(AGENT.replace("speed = 10", "sped = 10"), "simulation[0].sped", id="misspelt"),
        pytest.param(AGENT.replace('"demo"', '"nightmare"'), "simulation[0].scenario: ", id="unknown_scenario"),
        pytest.param(AGENT.replace("trace.csv", "no.csv"), "trace[0]: there is no such file", id="no_trace"),
        pytest.param(AGENT.replace("AT =", "XT ="), "its columns are AT, NOX", id="no_column"),
        pytest.param(AGENT.replace('"1h"', '"soon"'), "trace[0].step: must be a span", id="step"),
        pytest.param(AGENT.replace("+08:00", ""), "trace[0].from: needs an offset", id="local_time"),
        pytest.param('site = "a"\nedge = "b"', "has no source: write one of [[trace]]", id="nothing_to_do"),
        pytest.param("site = ", "cannot be read", id="no_toml"),
        pytest.param(AGENT.replace("= 30", "= -1"), "max_days: must be a number from", id="age"),
        pytest.param(AGENT.replace("8099", "80990"), "status.port: must be a whole number", id="port"),
        pytest.param(AGENT.replace("./tell", "./sing"), "hook.command: './sing' is no program", id="hook"),
        pytest.param(AGENT.replace('["./tell", "--duty"]', '"./tell"'), "hook.command: must be a list", id="hook_text"),
        pytest.param(
            AGENT + "\n[[trace]]\nname = 'trace-1'\nfile='trace.csv'\nstack='GT1'\nfrom=2025-01-01T00:00:00Z\n"
            "step='1h'\n[[trace]]\nname = 'trace-1'\n",
            "is the name of another source",
            id="names",
        ),
        pytest.param(AGENT + "[unknown]\n", "unknown: is not known here", id="unknown_table"),
        pytest.param(AGENT + "[trace_of_nothing]\n", "trace_of_nothing: is not known", id="unknown_kind"),
    ],
)
def test_what_is_wrong_in_an_agent_file_is_said_with_its_place(folder: Path, text: str, said: str) -> None:
    assert any(said in fault for fault in faults_of(folder, text))


def test_all_faults_are_said_at_once(folder: Path) -> None:
    text = AGENT.replace("8099", "0.5").replace('"1h"', '"soon"').replace('"refuse"', '"hope"').replace("= 7", "= -7")
    said = "\n".join(faults_of(folder, text))
    for place in ("status.port", "trace[0].step", "policy", "simulation[0].seed"):
        assert place in said


def test_a_source_whose_library_is_missing_is_said_with_the_extra_that_brings_it(folder: Path) -> None:
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "from pathlib import Path\nfrom edge.agent_file import read_agent_file\nfrom plant.errors import BadDocument\n"
        f"try: read_agent_file(Path({str(an_agent(folder))!r}))\n"
        "except BadDocument as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "simulation[0]: needs the extra: pip install 'stackwatch[sim]'" in done.stdout


def test_each_kind_of_source_has_a_reader() -> None:
    for kind in KINDS.values():
        module, _, function = kind.reader.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


class Parrot:
    kind = "bird.parrot"

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self.words = words

    async def run(self, feed: Feed) -> None: ...

    def state(self) -> dict[str, Any]:
        return {"ok": True, "detail": self.words, "tolerated": {}}


def read_parrot(table: Reader, context: Context) -> Source | None:
    if table.boolean("throws", False):
        raise BadDocument("parrot", [Fault("words", "cannot be said")])
    return Parrot(context.name, table.text("words"))


@pytest.fixture
def _parrots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parrots", sys.modules[__name__])
    monkeypatch.setattr(sources, "KINDS", {**KINDS, "bird.parrot": Kind("parrots:read_parrot", "edge")})


@pytest.mark.usefixtures("_parrots")
def test_a_kind_may_stand_in_a_group(folder: Path) -> None:
    text = 'site = "s"\nedge = "e"\n[[bird.parrot]]\nwords = "hello"\n[[bird.parrot]]\nname = "polly"\nwords = "x"\n'
    plan = read_agent_file(an_agent(folder, text))
    assert [declared.source.name for declared in plan.sources] == ["bird-parrot-1", "polly"]
    said = "\n".join(faults_of(folder, text + "wings = 2\n[[bird.crow]]\n[[bird.parrot]]\nthrows = true\n"))
    assert "bird.parrot[1].wings: is not known here; known are name, throws, words" in said
    assert "bird.crow: is not known here; known are parrot" in said
    assert "bird.parrot[2].words: cannot be said" in said


@pytest.mark.usefixtures("_parrots")
@pytest.mark.parametrize("text", ["bird = 3", "bird = [3]", "[bird]\nparrot = 3", "[bird]\nparrot = [3]", "[[bird]]"])
def test_what_is_no_list_of_tables_is_said(folder: Path, text: str) -> None:
    assert any(fault.startswith("bird") for fault in faults_of(folder, f'site = "s"\nedge = "e"\n{text}\n'))


def test_the_same_text_makes_the_same_sources_and_a_changed_file_others(folder: Path) -> None:
    first, again = read_agent_file(an_agent(folder)), read_agent_file(an_agent(folder))
    assert [one.made_from for one in first.sources] == [one.made_from for one in again.sources]
    (folder / "trace.csv").write_text("AT,NOX\n4.5,81.9\n4.6,81.8\n")
    after = read_agent_file(an_agent(folder))
    changed = [a.made_from != b.made_from for a, b in zip(first.sources, after.sources, strict=True)]
    assert changed == [True, False]


def test_checking_reports_what_the_agent_would_do(folder: Path) -> None:
    said = check(Settings(mqtt_url="mqtt://localhost"), an_agent(folder))
    assert "edge edge-1 of site tangshan-1: 1 trace, 1 simulation, outbox in" in said
    assert "status page on 127.0.0.1:8099" in said
    for wrong in (Settings(), Settings(mqtt_url="http://x"), Settings(mqtt_url="mqtt://x", order_public_key="x")):
        with pytest.raises(BadDocument):
            check(wrong, an_agent(folder))


def test_an_agent_without_simulator_needs_no_numpy_and_no_pyarrow(folder: Path) -> None:
    agent = an_agent(folder, AGENT.partition("[[simulation]]")[0])
    program = (
        "import sys, pathlib, edge.serve, edge.agent_file; "
        f"edge.agent_file.read_agent_file(pathlib.Path({str(agent)!r})); "
        "print(sorted({'numpy', 'pyarrow', 'psycopg', 'pydantic', 'store', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# ---- whatever a person writes ----

_WORDS = st.sampled_from(
    ["", "x", "trace.csv", "edge.toml", "GT1", "1h", "-1h", "demo", ".toml", "nox", "nox.flag", "AT", "AT+NOX",
     "\0", "é" * 70,
     "2025-01-01T00:00:00Z", "9999-12-31T23:59:59+08:00", "Asia/Shanghai", "../..", "/", "mg/m3", "scfh", "sampled_at"]
)  # fmt: skip
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.datetimes() | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=8,
)
_KEYS = {
    "trace": [
        "name",
        "file",
        "stack",
        "map",
        "unit",
        "from",
        "step",
        "shift",
        "zone",
        "speed",
        "interval_s",
        "instrument",
    ],
    "simulation": ["name", "scenario", "speed", "seed"],
    "rest": ["port", "command", "deadline_s"],
}


def _tables(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), _VALUES, max_size=8)


_DOCUMENTS = st.fixed_dictionaries(
    {"site": st.just("s") | _VALUES, "edge": st.just("e") | _VALUES},
    optional={
        "trace": st.lists(_tables(_KEYS["trace"]) | _VALUES, max_size=2) | _VALUES,
        "simulation": st.lists(_tables(_KEYS["simulation"]) | _VALUES, max_size=2) | _VALUES,
        "status": _tables(_KEYS["rest"]) | _VALUES,
        "hook": _tables(_KEYS["rest"]) | _VALUES,
        "outbox": _VALUES,
        "policy": _VALUES,
        "max_mb": _VALUES,
        "max_days": _VALUES,
        "drain_rows_per_s": _VALUES,
    },
)


def outcome_of(file: Path) -> AgentPlan | BadDocument:
    try:
        return read_agent_file(file)
    except BadDocument as error:
        return error


def _plan_or_faults(folder: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AgentPlan | BadDocument:
    monkeypatch.setattr("tomllib.loads", lambda _: document)
    return outcome_of(folder / "edge.toml")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_DOCUMENTS)
def test_no_agent_file_ends_in_anything_but_a_plan_or_its_faults(
    folder: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    an_agent(folder)
    with monkeypatch.context() as patched:
        outcome = _plan_or_faults(folder, document, patched)
    assert outcome.sources if isinstance(outcome, AgentPlan) else outcome.faults


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=200), cut=st.integers(0, len(AGENT)))
def test_no_bytes_end_in_anything_but_a_plan_or_its_faults(folder: Path, noise: bytes, cut: int) -> None:
    (folder / "edge.toml").write_bytes(AGENT.encode()[:cut] + noise)
    outcome = outcome_of(folder / "edge.toml")
    assert outcome.sources if isinstance(outcome, AgentPlan) else outcome.faults


def test_an_agent_file_that_is_a_folder_or_missing_is_said(folder: Path) -> None:
    for path in (folder, folder / "nothing.toml", folder / ("x" * 300)):
        with pytest.raises(BadDocument, match="cannot be read"):
            read_agent_file(path)


EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"


def test_the_example_in_the_manual_is_a_plan() -> None:
    plan = read_agent_file(EXAMPLES / "edge.toml")
    assert [declared.source.name for declared in plan.sources] == ["works"]
    assert plan.status_port == 8090


def test_what_the_example_has_commented_out_is_right_too(tmp_path: Path) -> None:
    lines = (EXAMPLES / "edge.toml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.removeprefix("# ") if "=" in line or "[" in line[:4] else line for line in lines[1:])
    (tmp_path / "hours.csv").write_text("Date,Hour,SO2,pressure\n2025-01-01,8,31.2,-12.5\n")
    (tmp_path / "tell-the-shift").write_text("#!/bin/sh\n")
    (tmp_path / "tell-the-shift").chmod(0o755)
    plan = read_agent_file(an_agent(tmp_path, text))
    assert [declared.source.name for declared in plan.sources] == [
        "last-year",
        "works",
        "hj212-listen-1",
        "hj212-uplink-1",
    ]
    assert plan.hook is not None


def test_each_key_of_the_agent_file_stands_in_the_manual() -> None:
    page = re.sub(r"```.*?```", "", (EXAMPLES.parent / "edge.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    named = {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"[\w.]+", code)}
    top = {"site", "edge", "outbox", "max_mb", "max_days", "policy", "drain_rows_per_s", "status", "hook"}
    assert {*top, *_KEYS["trace"], *_KEYS["rest"]} - named == set()
    assert {unit for units in UNITS.values() for unit in units} <= {
        word for code in re.findall(r"`([^`]+)`", page) for word in code.split()
    }


def test_the_command_loads_nothing_heavy_where_its_arguments_are_plain(folder: Path) -> None:
    agent = an_agent(folder, AGENT.partition("[[simulation]]")[0])
    program = (
        "import sys; from stackwatch.cli import main\n"
        f"sys.argv = ['stackwatch', 'edge', {str(agent)!r}, '--check', '--mqtt-url', 'mqtt://localhost']\n"
        "main()\nprint(sorted({'numpy', 'pyarrow', 'psycopg', 'pydantic', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    said, loaded = done.stdout.splitlines()
    assert said.startswith("edge edge-1 of site tangshan-1")
    assert loaded == "[]"
