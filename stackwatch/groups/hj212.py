"""`hj212`: captures of loggers, and a small platform to try them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackwatch.groups.options import AllowCrc, AsJson, KeyFile

app = typer.Typer(help="HJ 212: captures, and a small platform.", no_args_is_help=True, rich_markup_mode=None)


@app.command("decode")
def hj212_decode(
    file: Annotated[str, typer.Argument(help="Raw bytes as they were captured; - for stdin.")],
    allow_crc: AllowCrc = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """What a capture says: every packet, every fault with its place."""
    from stackwatch.commands import hj212 as command

    command.decode(file, allowed=allow_crc or (), key_file=key_file, as_json=as_json)


@app.command("serve")
def hj212_serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 9010,
    logger: Annotated[
        list[str] | None, typer.Option("--logger", help="MN=PASSWORD that is believed; several times. [everybody]")
    ] = None,
    allow_crc: AllowCrc = None,
    key_file: KeyFile = None,
    record: Annotated[Path | None, typer.Option(help="Append the packets there, for `hj212 decode`.")] = None,
    most: Annotated[int | None, typer.Option("--most", min=1, help="End after so many packets.")] = None,
    as_json: AsJson = False,
) -> None:
    """A small platform: print what loggers send, and answer it."""
    from stackwatch.commands import hj212_tryout as command

    command.serve(
        host=host,
        port=port,
        passwords=logger or (),
        allowed=allow_crc or (),
        key_file=key_file,
        record=record,
        most=most,
        as_json=as_json,
    )


@app.command("send")
def hj212_send(
    file: Annotated[str, typer.Argument(help="A capture; or rows, .csv or .jsonl, that become packets.")],
    to: Annotated[str, typer.Option("--to", help="HOST:PORT.")],
    mn: Annotated[str | None, typer.Option(help="Of the packets made of rows.")] = None,
    password: Annotated[str, typer.Option(help="Of the packets made of rows.")] = "123456",
    st: Annotated[str, typer.Option(help="Of the packets made of rows.")] = "31",
    version: Annotated[str, typer.Option(help="2017 or 2025, of the packets made of rows.")] = "2017",
    crc: Annotated[str, typer.Option(help="Check value of the packets made of rows.")] = "hj212",
    key_file: KeyFile = None,
    allow_crc: AllowCrc = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for a reply.")] = 10.0,
    retries: Annotated[int, typer.Option(min=0, max=10, help="How often a packet goes again.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Send packets one by one, each until it is answered."""
    from stackwatch.commands import hj212_tryout as command

    command.send(
        file,
        to=to,
        mn=mn,
        password=password,
        st=st,
        version=version,
        crc=crc,
        key_file=key_file,
        timeout_s=timeout_s,
        retries=retries,
        allowed=allow_crc or (),
        as_json=as_json,
    )
