"""Options that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
AllowCrc = Annotated[
    list[str] | None, typer.Option("--allow-crc", help="A check value to take beside the standard's: modbus, ...")
]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="An SM4 key of 32 hex digits (2025).")]
