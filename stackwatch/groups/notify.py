"""`notify`: who is told of alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from stackwatch import running
from stackwatch.groups.options import AsJson, Data, DatabaseUrl

app = typer.Typer(help="Who is told of alerts.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def notify_list(database_url: DatabaseUrl = None, data: Data = None, as_json: AsJson = False) -> None:
    """Receivers of notifications and how it goes, without their secrets."""
    from stackwatch.commands import notify as command

    running.guarded(command.list_receivers(database_url, data, as_json=as_json))


@app.command("test")
def notify_test(
    name: Annotated[str, typer.Argument(help="As `notify list` shows it.")],
    wait: Annotated[float, typer.Option("--wait", min=1, max=600, help="Seconds to wait until it is taken.")] = 30.0,
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """Send a receiver a message that says that it is a test, and say what became of it."""
    from stackwatch.commands import notify as command

    running.guarded(command.try_out(name, wait, database_url, data))
