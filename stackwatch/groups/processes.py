"""The embedded system, and each process by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackwatch import running
from stackwatch.groups.options import AsJson, MqttUrl

app = typer.Typer()


@app.command()
def demo(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="HTTP port. [8000, or the next free one]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Keep everything there. [a folder that is deleted]")
    ] = None,
    scenario: Annotated[str, typer.Option(help="A packaged scenario or a .toml file.")] = "demo",
    speed: Annotated[float, typer.Option(min=0.001, help="Speed of the simulated works, times real time.")] = 360.0,
    headless: Annotated[bool, typer.Option("--headless", help="No moving picture in the terminal.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Play the whole story, the agency's part too, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """The whole system on this machine: a simulated steelworks and a replayed real trace. Ctrl-C leaves nothing."""
    from stackwatch.demo import show

    running.guarded(
        show.demo(
            port=port,
            data=data,
            scenario=scenario,
            speed=speed,
            headless=headless or as_json,
            once=once,
            as_json=as_json,
        )
    )


@app.command()
def up(
    data: Annotated[Path | None, typer.Option("--data", help="Data folder. [the user's data directory]")] = None,
    http_port: Annotated[int | None, typer.Option(min=1, max=65_535, help="[8000, or the next free one]")] = None,
    mqtt_port: Annotated[int | None, typer.Option(min=1, max=65_535, help="[1883, or the next free one]")] = None,
    register: Annotated[Path | None, typer.Option(help="Import this register first.")] = None,
    mqtt_auth: Annotated[
        bool, typer.Option("--mqtt-auth", help="One broker user a site instead of open loopback.")
    ] = False,
) -> None:
    """The same system, embedded and persistent, without simulation. Loopback only."""
    from stackwatch.commands import up as command

    running.guarded(command.up(data, http_port=http_port, mqtt_port=mqtt_port, register=register, mqtt_auth=mqtt_auth))


@app.command()
def ingestor() -> None:
    """From the broker into the database. One process of its own."""
    from ingestor.serve import serve

    running.guarded(serve(running.settings()))


@app.command()
def alerts() -> None:
    """The rule stage and the delivery of orders. One process of its own."""
    from alerts.serve import serve

    running.guarded(serve(running.settings()))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="[STACKWATCH_HTTP_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="[STACKWATCH_HTTP_PORT]")] = None,
) -> None:
    """HTTP, the live feed and the pages. One process of its own."""
    from api.serve import serve

    running.guarded(serve(running.settings(http_host=host, http_port=port)))


@app.command()
def edge(
    file: Annotated[Path, typer.Argument(help="The agent's TOML file.")],
    check: Annotated[bool, typer.Option("--check", help="Say what it would do and leave.")] = False,
    mqtt_url: MqttUrl = None,
) -> None:
    """The agent beside the analysers."""
    from stackwatch.commands import edge as command

    command.edge(file, check=check, mqtt_url=mqtt_url)
