"""What the environment may set, in one table: prefix `STACKWATCH_`, read once, every fault at once.

An unknown name with the prefix is an error: a misspelt setting must not be silently without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from plant.errors import BadDocument, Fault
from plant.topics import DEFAULT_ROOT

PREFIX: Final = "STACKWATCH_"


def _setting(default: Any, about: str, *, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of every process; each process reads those that concern it."""

    database_url: str = _setting("", "PostgreSQL or TimescaleDB: postgresql://user:password@host:port/name")
    mqtt_url: str = _setting("", "the broker: mqtt://user:password@host:port[,host:port...], or mqtts://")
    mqtt_ca_file: str = _setting("", "certificate authority of an mqtts broker")
    mqtt_cert_file: str = _setting("", "client certificate")
    mqtt_key_file: str = _setting("", "key of the client certificate")
    topic_root: str = _setting(DEFAULT_ROOT, "first levels of every topic")
    http_host: str = _setting("127.0.0.1", "address the API listens on")
    http_port: int = _setting(8000, "port the API listens on", low=1, high=65535)
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    ingestor_id: str = _setting("ingestor-1", "name of this ingestor: its MQTT client id, one a process")
    ingestor_group: str = _setting("", "name of a group of ingestors that share the messages; MQTT 5 only")
    ingestor_sites: str = _setting("", "sites whose messages this ingestor takes, with commas between; all, if not set")
    ingestor_regions: str = _setting("", "regions whose sites it takes, with commas between")
    ingestor_session_s: int = _setting(
        0, "seconds that the broker keeps messages for a member of a group that is away", low=0, high=86_400
    )
    batch_kb: int = _setting(1_024, "kilobytes of payload after which a batch leaves", low=1, high=65_536)
    batch_age_ms: int = _setting(10, "age after which a batch leaves", low=1, high=60_000)
    inbox_messages: int = _setting(2_000, "messages held before the broker is made to wait", low=1, high=100_000)
    stage_id: str = _setting("stage-1", "name of this rule stage")
    tick_s: float = _setting(10.0, "seconds between two ticks of the clock", low=0.05, high=600)
    stage_workers: int = _setting(2, "stacks that one rule stage judges at a time", low=1, high=16)
    stage_lease_s: float = _setting(
        15.0, "seconds after which the others take the stacks of a rule stage that died", low=1, high=600
    )
    stage_silent_s: float = _setting(
        60.0, "seconds without a tick after which the rule stage is said to be silent", low=1, high=86_400
    )
    heartbeat_url: str = _setting("", "address that is asked each minute while all is well, for a watch from outside")
    claim_hours: int = _setting(500, "hours of one stack judged in one transaction", low=1, high=100_000)
    order_key_file: str = _setting("", "Ed25519 private key (PEM) that signs lists of orders")
    order_public_key: str = _setting("", "base64 of the Ed25519 key an edge checks orders with")
    public_url: str = _setting("", "address of the page as people reach it, for links in messages")
    secrets_key_file: str = _setting("", "keys that seal the secrets of receivers, one a line; the first one seals")
    notify_networks: str = _setting(
        "", "networks besides the public internet that messages may go to, with commas between: 10.1.0.0/16"
    )
    mail_url: str = _setting("", "relay that takes our mail: smtps://user:password@host:465, smtp:// or smtp+plain://")
    mail_from: str = _setting("", "mail address that messages come from")
    ray_address: str = _setting("", "Ray cluster that backtests run on: auto, local or ray://HOST:10001")

    def __repr__(self) -> str:
        """Without passwords: settings end up in logs."""
        shown = (f"{f.name}={_masked(f.name, getattr(self, f.name))!r}" for f in fields(self))
        return f"Settings({', '.join(shown)})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in *environ*; `BadDocument` naming every fault."""
        faults: list[Fault] = []
        values: dict[str, Any] = {}
        known = {f.name: f for f in fields(cls)}
        for name, text in environ.items():
            if not name.startswith(PREFIX):
                continue
            setting = known.get(name.removeprefix(PREFIX).lower())
            if setting is None:
                names = ", ".join(PREFIX + n.upper() for n in known)
                faults.append(Fault(name, f"is no setting; settings are {names}"))
                continue
            try:
                values[setting.name] = _read(setting, text)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
        if faults:
            raise BadDocument("environment", faults)
        return cls(**values)

    def require(self, *names: str) -> None:
        """Refuse to start without the settings *names*."""
        faults = [
            Fault(PREFIX + name.upper(), f"is not set: {_about(name)}") for name in names if not getattr(self, name)
        ]
        if faults:
            raise BadDocument("environment", faults)


def manual() -> list[tuple[str, str, str]]:
    """(name in the environment, default, what it is) of every setting."""
    return [(PREFIX + f.name.upper(), str(f.default), str(f.metadata["about"])) for f in fields(Settings)]


def _about(name: str) -> str:
    return next(str(f.metadata["about"]) for f in fields(Settings) if f.name == name)


def _read(setting: Any, text: str) -> Any:
    if setting.type == "str":
        if setting.name == "log_level" and text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"must be {_about(setting.name)}, got {text!r}")
        return text.upper() if setting.name == "log_level" else text
    low, high = setting.metadata["low"], setting.metadata["high"]
    wanted = f"a {'whole ' if setting.type == 'int' else ''}number from {low} to {high}"
    try:
        number = int(text) if setting.type == "int" else float(text)
    except ValueError:
        raise ValueError(f"must be {wanted}, got {text!r}") from None
    if not low <= number <= high:
        raise ValueError(f"must be {wanted}, got {text!r}")
    return number


def _masked(name: str, value: Any) -> Any:
    if name == "heartbeat_url":  # whoever knows it may say that all is well
        return "***" if value else ""
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, rest = value.split("://", 1)
        return f"{scheme}://***@{rest.rsplit('@', 1)[1]}"
    return value
