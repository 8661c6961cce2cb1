"""Whether an exported alert holds, and whether an installation is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plant.errors import PlantError
from stackwatch import running
from stackwatch.groups.options import AsJson, Data, DatabaseUrl, MqttUrl

app = typer.Typer()


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An exported alert or case.")],
    key: Annotated[
        str | None, typer.Option("--key", help="Public key of the installation, base64, as its owner gave it out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an exported alert or case offline: numbers redone, hash chain intact, seal whole."""
    from stackwatch.commands import verify as command

    try:
        raise SystemExit(command.verify(file, key=key, as_json=as_json))
    except PlantError as error:
        running.fail(error)


@app.command()
def doctor(
    database_url: DatabaseUrl = None, mqtt_url: MqttUrl = None, data: Data = None, as_json: AsJson = False
) -> None:
    """What is wrong with this installation, in sentences."""
    from stackwatch.commands import doctor as command

    running.guarded(command.doctor(database_url, mqtt_url, data, as_json=as_json))
