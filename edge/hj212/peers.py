"""Whom we speak HJ 212 with, as an agent file says it: MN and password, cipher, check values, and what we ask for.

Passwords and keys come from a file or a variable of the environment where they should not stand in the agent file. They
are in no log, no state and no repr.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from edge.hj212.cipher import KEY_BYTES
from edge.hj212.crc import NAMES, STANDARD
from edge.hj212.encoder import can_be_written
from edge.hj212.loggers import Logger, read_logger
from edge.hj212.segment import Version
from edge.sources import Context
from edge.stamps import parse_step
from plant.errors import BadDocument
from plant.reading import Reader

DAY_MS: Final = 86_400_000
ASK_AFTER_MS: Final = 600_000
MOST_HISTORY_MS: Final = 366 * DAY_MS
REALTIME_INTERVALS_S: Final = (30, 3600)
_VERSIONS: Final = {"2005": Version.HJT_2005, "2017": Version.HJ_2017, "2025": Version.HJ_2025}
_OURS: Final = "STACKWATCH_"
_UNREAD: Final = "?"  # stands for a secret whose fault is noted already


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What we ask of a logger when it is there."""

    hours: bool = False  #: those that did not come by themselves
    after_ms: int = ASK_AFTER_MS  #: the end of an hour; loggers push theirs within minutes
    history_ms: int = DAY_MS  #: how far back, where nothing is known yet
    realtime_interval_s: int | None = None  #: to be set (1062)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One logger as a partner of talks."""

    logger: Logger
    password: str = field(repr=False)
    version: Version = Version.HJ_2017  #: of our requests; replies are in that of what they answer
    checks: frozenset[str] = frozenset({STANDARD})  #: check values that are taken
    key: bytes | None = field(default=None, repr=False)
    asks: Asks = Asks()

    @property
    def mn(self) -> str:
        return self.logger.mn


def read_peer(table: Reader, context: Context, *, asks_hours: bool) -> Peer:
    """The logger that *table* describes, with its secrets; faults are noted there. Leaves `finish` to the caller."""
    return Peer(
        logger=read_logger(table),
        password=read_password(table, context),
        version=read_version(table, "2017"),
        checks=frozenset(read_checks(table)) | {STANDARD},
        key=read_key(table, context),
        asks=Asks(
            hours=table.boolean("ask_hours", asks_hours),
            after_ms=read_span_ms(table, "ask_after", ASK_AFTER_MS, low=0, high=DAY_MS),
            history_ms=read_span_ms(table, "history", DAY_MS, low=0, high=MOST_HISTORY_MS),
            realtime_interval_s=_realtime_interval_s(table),
        ),
    )


def read_version(table: Reader, default: str) -> Version:
    return _VERSIONS[table.one_of("version", _VERSIONS, default)]


def read_checks(table: Reader) -> tuple[str, ...]:
    """`allowed_crc`: check values to take beside the standard's."""
    allowed = table.texts("allowed_crc", ())
    if unknown := sorted(set(allowed) - set(NAMES)):
        table.fault("allowed_crc", f"must be of {', '.join(NAMES)}, got {unknown[0]!r}")
        return ()
    return allowed


def read_span_ms(table: Reader, key: str, default: int, *, low: int, high: int) -> int:
    """A span such as "10min", from *low* to *high*. [ms]"""
    if key not in table:
        return default
    text = table.text(key)
    try:
        span = 0 if text in ("0", "0s") else parse_step(text)
    except BadDocument as error:
        table.fault(key, error.faults[0].message)
        return default
    if not low <= span <= high:
        table.fault(key, f"must be {low // 1000} to {high // 1000} s, got {text!r}")
    return span


def read_password(table: Reader, context: Context) -> str:
    """`password`, `password_file` or `password_env`: exactly one is there."""
    password = _secret(table, context, "password")
    if password is None:
        table.fault("password", "is required: this, password_file or password_env")
        return ""
    if not password or not can_be_written(password):
        table.fault("password", "is empty, or has signs that HJ 212 cannot carry")
    return password


def read_key(table: Reader, context: Context) -> bytes | None:
    """The SM4 key in `key_file` or `key_env`: 32 hex digits; None where there is none."""
    if "key" in table:
        table.raw("key")
        table.fault("key", "does not belong into this file: write key_file or key_env")
        return None
    digits = _secret(table, context, "key")
    if digits is None or digits == _UNREAD:
        return None
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        table.fault("key", f"must be {2 * KEY_BYTES} hex digits (SM4)")
        return None
    return key


def _secret(table: Reader, context: Context, name: str) -> str | None:
    keys = [key for key in (name, f"{name}_file", f"{name}_env") if key in table]
    if not keys:
        return None
    if len(keys) > 1:
        table.fault(keys[1], f"and {keys[0]} are both there: which one counts?")
    value = table.text(keys[0])
    if keys[0] == name:
        return value
    try:
        text = context.file(value).read_text(encoding="utf-8") if keys[0].endswith("_file") else _variable(value)
    except KeyError:
        table.fault(keys[0], f"{value!r} cannot be read: there is no such variable")
        return _UNREAD
    except (OSError, ValueError) as error:
        table.fault(keys[0], f"{value!r} cannot be read: {type(error).__name__}")
        return _UNREAD
    return text.strip()


def _variable(name: str) -> str:
    if name.startswith(_OURS):
        raise ValueError(f"{_OURS} is for settings of our own")
    return os.environ[name]


def _realtime_interval_s(table: Reader) -> int | None:
    if "set_realtime_interval" not in table:
        return None
    low, high = REALTIME_INTERVALS_S  # 1062 (4.6)
    return read_span_ms(table, "set_realtime_interval", 30_000, low=low * 1000, high=high * 1000) // 1000
