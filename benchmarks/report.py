"""What every benchmark says about itself: the machine, the commit, and one JSON object on the last line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Cores, memory and processor of this machine."""
    return {"cores": os.cpu_count(), "memory_gb": round(_memory_bytes() / 2**30, 1), "cpu": _cpu_name()}


def commit() -> str:
    """The commit that is measured; with a mark where the tree differs from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def arguments(about: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--json`; a benchmark adds what it can be asked for beside it."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return parser


def publish(figures: Mapping[str, Any], about: str | None = None, *, as_json: bool | None = None) -> None:
    """Print *figures*: for a person, or as one object on the last line. Without *as_json* the command line decides."""
    if as_json is None:
        as_json = arguments(about).parse_args().json
    told = {"machine": machine(), "commit": commit(), **figures}
    print(json.dumps(told) if as_json else "\n".join(f"{key:>28}  {value}" for key, value in told.items()))


def _git(*args: str) -> str:
    root = Path(__file__).resolve().parents[1]
    return subprocess.run(["git", *args], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
