"""The command `stackwatch`: the groups of commands (`stackwatch.groups`) put together, in the order of its help."""

from __future__ import annotations

import sys
from typing import Final

import typer

from plant.errors import PlantError
from plant.settings import manual
from stackwatch import running
from stackwatch.groups import checking, history, hj212, notify, packs, processes, setting_up, token

_SETTINGS: Final = "\n\n".join(
    f"{name}  {about}" + (f" [{default}]" if default else "") for name, default, about in manual()
)

app = typer.Typer(
    name="stackwatch",
    help="Watches the stacks of iron and steel works: readings over MQTT, hours and months judged, orders to suspend.",
    epilog="Settings in the environment (an unknown name with the prefix is an error; NAME_FILE names a file "
    f"that holds the value of NAME):\n\n{_SETTINGS}",
    no_args_is_help=True,
    rich_markup_mode=None,  # square brackets are ours: they show defaults
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _group in (processes, setting_up, history, checking):
    app.add_typer(_group.app)
app.add_typer(token.app, name="token")
app.add_typer(packs.app, name="packs")
app.add_typer(hj212.app, name="hj212")
app.add_typer(notify.app, name="notify")


def _light_edge(arguments: list[str]) -> bool:
    from stackwatch.commands import edge as command

    return command.plainly(arguments)


def main() -> None:
    """The entry point of the script `stackwatch`."""
    try:
        if sys.argv[1:2] != ["edge"] or not _light_edge(sys.argv[2:]):
            app()
    except PlantError as error:
        running.fail(error)
    except BrokenPipeError:
        sys.exit(running.FAILED)
