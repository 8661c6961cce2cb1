"""The command `stackwatch`: what there is to say on the command line, and nothing decided here.

Each command imports what it needs when it runs, so that an edge agent does not need the database driver.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from plant.errors import PlantError
from plant.settings import manual
from stackwatch import running

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
tokens = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True, rich_markup_mode=None)
packs = typer.Typer(help="The rule packs: limits as data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tokens, name="token")
app.add_typer(packs, name="packs")
hj212 = typer.Typer(help="HJ 212: captures, and a small platform.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(hj212, name="hj212")
notify = typer.Typer(help="Who is told of alerts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(notify, name="notify")

DatabaseUrl = Annotated[str | None, typer.Option("--database-url", help="The database. [STACKWATCH_DATABASE_URL]")]
MqttUrl = Annotated[str | None, typer.Option("--mqtt-url", help="The broker. [STACKWATCH_MQTT_URL]")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of a running `stackwatch up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=CHANNEL; several times. DATE+HOUR=sampled_at joins two columns."),
]
Unit = Annotated[list[str] | None, typer.Option("--unit", help="CHANNEL=UNIT of the file; several times.")]
Start = Annotated[str | None, typer.Option("--from", help="Time of the first row; with --step of every row.")]
Step = Annotated[str | None, typer.Option("--step", help="Restamp: from row to row, such as 1h.")]
Shift = Annotated[str | None, typer.Option("--shift", help="Move the file's times, such as +365d or -8h.")]
Zone = Annotated[str | None, typer.Option("--zone", help="Of times without an offset: +08:00 or Asia/Shanghai.")]
Interval = Annotated[
    int | None, typer.Option("--interval", min=1, max=86_400, help="Seconds that a row stands for. [the register's]")
]


@app.command()
def demo(
    port: Annotated[int | None, typer.Option("--port", help="HTTP port. [8000, or the next free one]")] = None,
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
    http_port: Annotated[int | None, typer.Option(help="[8000, or the next free one]")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="[1883, or the next free one]")] = None,
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


@tokens.command("create")
def token_create(
    role: Annotated[list[str], typer.Option("--role", help="May be given several times.")],
    site: Annotated[list[str] | None, typer.Option("--site", help="Narrow to a site; several times.")] = None,
    region: Annotated[list[str] | None, typer.Option("--region", help="Narrow to a region; several times.")] = None,
    name: Annotated[str | None, typer.Option(help="Who gets it.")] = None,
    expires: Annotated[str | None, typer.Option(help="A time with its offset.")] = None,
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """Print a new token, alone on the last line; it is stored hashed and shown this once."""
    from stackwatch.commands import admin

    running.guarded(
        admin.create_token(role, site or [], region or [], name, expires, database_url=database_url, data=data)
    )


@tokens.command("list")
def token_list(database_url: DatabaseUrl = None, data: Data = None, as_json: AsJson = False) -> None:
    """The tokens there are, without their secrets."""
    from stackwatch.commands import admin

    running.guarded(admin.list_tokens(database_url, data, as_json=as_json))


@tokens.command("revoke")
def token_revoke(
    token_id: Annotated[int, typer.Argument(help="As `token list` shows it.")],
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """End a token."""
    from stackwatch.commands import admin

    running.guarded(admin.revoke_token(token_id, database_url, data))


@notify.command("list")
def notify_list(database_url: DatabaseUrl = None, data: Data = None, as_json: AsJson = False) -> None:
    """Receivers of notifications and how it goes, without their secrets."""
    from stackwatch.commands import notify as command

    running.guarded(command.list_receivers(database_url, data, as_json=as_json))


@notify.command("test")
def notify_test(
    name: Annotated[str, typer.Argument(help="As `notify list` shows it.")],
    wait: Annotated[float, typer.Option("--wait", min=1, max=600, help="Seconds to wait until it is taken.")] = 30.0,
    database_url: DatabaseUrl = None,
    data: Data = None,
) -> None:
    """Send a receiver a message that says that it is a test, and say what became of it."""
    from stackwatch.commands import notify as command

    running.guarded(command.try_out(name, wait, database_url, data))


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
    running.guarded(command.backtest(options, database_url, data))


@hj212.command("decode")
def hj212_decode(
    file: Annotated[str, typer.Argument(help="Raw bytes as they were captured; - for stdin.")],
    allow_crc: Annotated[
        list[str] | None, typer.Option("--allow-crc", help="A check value to take beside the standard's: modbus, ...")
    ] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="An SM4 key of 32 hex digits (2025).")] = None,
    as_json: AsJson = False,
) -> None:
    """What a capture says: every packet, every fault with its place."""
    from stackwatch.commands import hj212 as command

    command.decode(file, allowed=allow_crc or (), key_file=key_file, as_json=as_json)


@hj212.command("serve")
def hj212_serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 9010,
    logger: Annotated[
        list[str] | None, typer.Option("--logger", help="MN=PASSWORD that is believed; several times. [everybody]")
    ] = None,
    allow_crc: Annotated[
        list[str] | None, typer.Option("--allow-crc", help="A check value to take beside the standard's: modbus, ...")
    ] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="An SM4 key of 32 hex digits (2025).")] = None,
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


@hj212.command("send")
def hj212_send(
    file: Annotated[str, typer.Argument(help="A capture; or rows, .csv or .jsonl, that become packets.")],
    to: Annotated[str, typer.Option("--to", help="HOST:PORT.")],
    mn: Annotated[str | None, typer.Option(help="Of the packets made of rows.")] = None,
    password: Annotated[str, typer.Option(help="Of the packets made of rows.")] = "123456",
    st: Annotated[str, typer.Option(help="Of the packets made of rows.")] = "31",
    version: Annotated[str, typer.Option(help="2017 or 2025, of the packets made of rows.")] = "2017",
    crc: Annotated[str, typer.Option(help="Check value of the packets made of rows.")] = "hj212",
    key_file: Annotated[Path | None, typer.Option("--key-file", help="An SM4 key of 32 hex digits (2025).")] = None,
    allow_crc: Annotated[
        list[str] | None, typer.Option("--allow-crc", help="A check value to take beside the standard's: modbus, ...")
    ] = None,
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


@packs.command("list")
def packs_list(as_json: AsJson = False) -> None:
    """The packs there are."""
    from stackwatch.commands import packs as command

    command.show_all(as_json=as_json)


@packs.command("show")
def packs_show(name: str, as_json: AsJson = False) -> None:
    """One pack: its limits, with the confidence mark of each."""
    from stackwatch.commands import packs as command

    command.show_one(name, as_json=as_json)


@packs.command("check")
def packs_check(files: Annotated[list[Path], typer.Argument(help="Packs in TOML.")]) -> None:
    """Say what is wrong in a pack, by file and key path."""
    from stackwatch.commands import packs as command

    command.check(files)


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
