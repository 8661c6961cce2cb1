"""What an installation needs before its processes start: schema, register, a broker told of us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackwatch import running
from stackwatch.groups.options import AsJson, Data, DatabaseUrl

app = typer.Typer()


@app.command()
def migrate(database_url: DatabaseUrl = None, data: Data = None) -> None:
    """Create or upgrade the schema."""
    from stackwatch.commands import admin

    running.guarded(admin.migrate(database_url, data))


@app.command()
def register(
    file: Annotated[Path, typer.Argument(help="Regions, sites, units and stacks (TOML).")],
    database_url: DatabaseUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Import the register; repeatable, says what changed."""
    from stackwatch.commands import admin

    running.guarded(admin.register(file, database_url, data, as_json=as_json))


@app.command("broker-config")
def broker_config(
    broker: Annotated[str, typer.Argument(help="mosquitto, nats or emqx.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; they get its owner.")],
    register: Annotated[Path | None, typer.Option(help="The register in this file. [the one in the database]")] = None,
    edge: Annotated[
        list[str] | None, typer.Option("--edge", help="SITE.EDGE: one identity an edge of that site; several times.")
    ] = None,
    passwords: Annotated[
        Path | None, typer.Option(help="Passwords kept in this file, instead of client certificates.")
    ] = None,
    tls_cert: Annotated[
        str, typer.Option(help="The broker's certificate, on its machine.")
    ] = "/etc/stackwatch/tls/broker.crt",
    tls_key: Annotated[str, typer.Option(help="Its key.")] = "/etc/stackwatch/tls/broker.key",
    tls_ca: Annotated[
        str | None, typer.Option(help="Who signs client certificates. [needed without --passwords]")
    ] = None,
    tls_crl: Annotated[str | None, typer.Option(help="Revoked client certificates; Mosquitto only.")] = None,
    host: Annotated[str, typer.Option(help="Address the broker listens on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port it listens on.")] = 8883,
    installed_at: Annotated[
        str | None, typer.Option(help="Where the files will lie on the broker's machine. [--out]")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Where the broker keeps its data. [its packages' folder]")] = None,
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="HOST:PORT of each node of a NATS cluster, towards the others.")
    ] = None,
    cluster_port: Annotated[int, typer.Option(min=1, max=65535, help="Port a node listens to the others at.")] = 6222,
    cluster_password: Annotated[
        Path | None, typer.Option(help="File with what nodes show each other; made if missing.")
    ] = None,
    sites_per_ingestor: Annotated[
        int | None, typer.Option(min=1, max=1000, help="NATS: the most sites that one ingestor is given by name.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write listener, TLS and access list of a broker of your own from the register."""
    from stackwatch.commands import broker_config as command

    options = command.Options(
        out=out,
        edges=edge or (),
        passwords=passwords,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        tls_crl=tls_crl,
        host=host,
        port=port,
        installed_at=installed_at,
        store=store,
        peers=peer or (),
        cluster_port=cluster_port,
        cluster_password=cluster_password,
        sites_per_ingestor=sites_per_ingestor,
    )
    running.guarded(
        command.broker_config(broker, options, register=register, database_url=database_url, data=data, as_json=as_json)
    )
