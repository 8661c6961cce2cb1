"""What may import what, and what an edge agent must not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("alerts", "api", "edge", "ingestor", "plant", "stackwatch", "store")
HEAVY: Final = ("aiomqtt", "fastapi", "numpy", "psycopg", "psycopg_pool", "pyarrow", "pydantic", "uvicorn")

needs_the_tree = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="these tests run beside the tree they look at"
)


def test_our_packages_are_found_in_one_place() -> None:
    """A package of the same name elsewhere on the path would win or lose by the working directory."""
    program = f"import importlib\nprint(*[importlib.import_module(name).__file__ for name in {OURS}], sep='\\n')"
    places = {Path(line).parents[1] for line in fresh(program).splitlines()}
    assert len(places) == 1


def fresh(program: str) -> str:
    """What *program* prints in an interpreter that has loaded nothing of ours; warnings are errors there too."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("STACKWATCH_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environ,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LIGHT: Final = (
    "edge.agent",
    "edge.outbox",
    "edge.publisher",
    "edge.orders",
    "edge.serve",
    "edge.replay",
    "stackwatch.commands.edge",
    "plant.topics",
    "plant.wire",
)


@pytest.mark.parametrize("module", LIGHT)
def test_what_an_edge_agent_imports_loads_nothing_heavy(module: str) -> None:
    loaded = fresh(f"import sys, {module}\nprint(*sys.modules)").split()
    assert module in loaded
    assert {name.partition(".")[0] for name in loaded} & {*HEAVY, "store"} == set()


def test_the_command_line_says_what_it_can_do_before_it_loads_a_process() -> None:
    loaded = fresh("import sys, stackwatch.cli\nprint(*sys.modules)").split()
    assert "stackwatch.cli" in loaded
    assert {"numpy", "pyarrow", "fastapi", "uvicorn"} & {name.partition(".")[0] for name in loaded} == set()


@needs_the_tree
def test_the_import_contracts_are_kept() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(command), "--no-cache"], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
