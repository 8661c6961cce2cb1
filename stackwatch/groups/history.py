"""Rows and what is made of them: replayed, simulated, imported, backed up, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackwatch import running
from stackwatch.groups.options import (
    AsJson,
    Data,
    DatabaseUrl,
    Interval,
    Mapping,
    MqttUrl,
    Shift,
    Start,
    Step,
    Unit,
    Zone,
)

app = typer.Typer()


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet trace.")],
    site: Annotated[str, typer.Option(help="Site code.")],
    stack: Annotated[str, typer.Option(help="Stack code.")],
    edge: Annotated[str, typer.Option(help="Name of the edge that publishes.")] = "replay",
    speed: Annotated[float | None, typer.Option(help="Times real time. [as fast as receipts come]")] = None,
    mapping: Mapping = None,
    unit: Unit = None,
    start: Start = None,
    step: Step = None,
    shift: Shift = None,
    zone: Zone = None,
    interval: Interval = None,
    instrument: Annotated[str | None, typer.Option(help="[main]")] = None,
    outbox: Annotated[Path | None, typer.Option(help="Folder of the outbox. [beside the data folder's]")] = None,
    mqtt_url: MqttUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Publish a trace over MQTT; started again after an interruption it goes on where it was."""
    from stackwatch.commands import replay as command
    from stackwatch.commands.traces import TraceOptions

    running.guarded(
        command.replay(
            file,
            site=site,
            stack=stack,
            edge=edge,
            speed=speed,
            trace=TraceOptions(
                mapping=mapping or (),
                units=unit or (),
                start=start,
                step=step,
                shift=shift,
                zone=zone,
                interval_s=interval,
                instrument=instrument,
            ),
            outbox=outbox,
            mqtt_url=mqtt_url,
            data=data,
            as_json=as_json,
        )
    )


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="A packaged scenario or a .toml file.")],
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Times real time, from its beginning. [the past at once, then 1]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="[the scenario's own]")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Time of the first row. [last month's first]")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Time of its end. [the scenario's, else none]")] = None,
    duration: Annotated[str | None, typer.Option(help="Instead of --to: such as 3d or 12h.")] = None,
    site: Annotated[list[str] | None, typer.Option("--site", help="Only this works; several times. [all]")] = None,
    edge: Annotated[str, typer.Option(help="Name of the edges that publish.")] = "simulator",
    truth: Annotated[Path | None, typer.Option(help="Write there what was planted and what must be found.")] = None,
    register: Annotated[
        str | None, typer.Option(help="Write the register of its works there (- for stdout) and leave.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write Parquet files into this folder, without a broker.")] = None,
    control_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Pause, step and inject over HTTP on loopback. [off]")
    ] = None,
    outbox: Annotated[Path | None, typer.Option(help="Folder of the outboxes. [beside the data folder's]")] = None,
    mqtt_url: MqttUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Publish a labelled scenario, and write the truth of what it planted; goes on where it was interrupted."""
    from stackwatch.commands import simulate as command

    if register is not None:
        command.write_register(scenario, site or (), register)
        return
    options = command.Options(
        speed=speed,
        seed=seed,
        start=start,
        to=to,
        duration=duration,
        sites=site or (),
        edge=edge,
        truth=truth,
        out=out,
        outbox=outbox,
        control_port=control_port,
        as_json=as_json,
    )
    running.guarded(command.simulate(scenario, options, mqtt_url=mqtt_url, data=data))


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="A new file, or a folder to write one into.")],
    database_url: DatabaseUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Everything into one file while the system runs; with --data the keys too."""
    from stackwatch.commands import backup as command

    running.guarded(command.backup(target, database_url, data, as_json=as_json))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    database_url: Annotated[str | None, typer.Option("--database-url", help="An empty database.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A new data folder.")] = None,
    reissue_orders: Annotated[
        bool, typer.Option(help="Give every site its list of orders again, under a version no plant has seen.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """A backup into an empty place, checked row for row and hash for hash. Overwrites nothing."""
    from stackwatch.commands import restore as command

    running.guarded(command.restore(file, database_url, data, reissue_orders=reissue_orders, as_json=as_json))


@app.command("import")
def import_history(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file of rows.")],
    site: Annotated[str, typer.Option(help="Site code.")],
    stack: Annotated[str, typer.Option(help="Stack code.")],
    mapping: Mapping = None,
    unit: Unit = None,
    start: Start = None,
    step: Step = None,
    shift: Shift = None,
    zone: Zone = None,
    interval: Interval = None,
    instrument: Annotated[str | None, typer.Option(help="[main]")] = None,
    database_url: DatabaseUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """History straight into the database, by the rules of what edges send; goes on where it was interrupted."""
    from stackwatch.commands import import_history as command
    from stackwatch.commands.traces import TraceOptions

    running.guarded(
        command.import_history(
            file,
            site=site,
            stack=stack,
            trace=TraceOptions(
                mapping=mapping or (),
                units=unit or (),
                start=start,
                step=step,
                shift=shift,
                zone=zone,
                interval_s=interval,
                instrument=instrument,
            ),
            database_url=database_url,
            data=data,
            as_json=as_json,
        )
    )


@app.command()
def backtest(
    start: Annotated[str | None, typer.Option("--from", help="Judge from this time on.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Until this time, which is not included.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only this site; several times. [all]")] = None,
    pack: Annotated[list[str] | None, typer.Option(help="Judge by this rule pack too; several times.")] = None,
    draft: Annotated[Path | None, typer.Option(help="A rule pack of your own (TOML).")] = None,
    instead_of: Annotated[
        list[str] | None, typer.Option("--instead-of", help="The pack that --pack, or --draft, takes the place of.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Parquet or CSV files, one a site, instead of the database.")
    ] = None,
    register: Annotated[Path | None, typer.Option(help="Of the sites of --folder. [its register.toml]")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Judge as if it were this time. [its newest row]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write hours, months and alerts there as Parquet.")] = None,
    ray: Annotated[
        str | None, typer.Option(help="A Ray cluster: auto, local, ADDRESS. [STACKWATCH_RAY_ADDRESS]")
    ] = None,
    database_url: DatabaseUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Judge history again, by today's packs or others, and print the difference."""
    from stackwatch.commands import backtest as command

    options = command.Options(
        start=start,
        end=to,
        as_of=as_of,
        sites=site or (),
        packs=pack or (),
        draft=draft,
        instead_of=instead_of or (),
        folder=folder,
        register=register,
        out=out,
        ray=ray,
        as_json=as_json,
    )
    command.backtest(options, database_url, data)
