"""`edge`: the agent beside the analysers, on a gateway with little memory.

Typer loads pydantic to read arguments, 12 MB that an agent would hold for years. So `plainly` reads them where they
are as the manual says; whatever else stands there is typer's to explain.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edge import serve
from stackwatch import running


def edge(file: Path, *, check: bool, mqtt_url: str | None) -> None:
    settings = running.settings(mqtt_url=mqtt_url)
    if check:
        print(serve.check(settings, file))
        return
    running.guarded(serve.serve(settings, file))


def plainly(arguments: Sequence[str]) -> bool:
    """Run the command for what stands behind `stackwatch edge`; False where typer is to look at it."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--mqtt-url")
    try:
        given = parser.parse_args(arguments)
    except _NotPlain:
        return False
    edge(given.file, check=given.check, mqtt_url=given.mqtt_url)
    return True


class _NotPlain(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotPlain(message)
