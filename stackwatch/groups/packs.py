"""`packs`: the limits as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackwatch.groups.options import AsJson

app = typer.Typer(help="The rule packs: limits as data.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def packs_list(as_json: AsJson = False) -> None:
    """The packs there are."""
    from stackwatch.commands import packs as command

    command.show_all(as_json=as_json)


@app.command("show")
def packs_show(name: str, as_json: AsJson = False) -> None:
    """One pack: its limits, with the confidence mark of each."""
    from stackwatch.commands import packs as command

    command.show_one(name, as_json=as_json)


@app.command("check")
def packs_check(files: Annotated[list[Path], typer.Argument(help="Packs in TOML.")]) -> None:
    """Say what is wrong in a pack, by file and key path."""
    from stackwatch.commands import packs as command

    command.check(files)
