"""Running a command to its end: signals, exit codes, and errors said in a sentence.

0 done or stopped, 1 failed, 2 misused. People read stdout, logs go to stderr.
"""

from __future__ import annotations

import asyncio
import logging.config
import os
import signal
import sys
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from plant.errors import BadDocument, Fault, PlantError
from plant.logs import logging_config
from plant.settings import PREFIX, Settings

FAILED: Final = 1
MISUSED: Final = 2
OF_FILE: Final = "_FILE"
_LOG_LEVEL: Final = f"{PREFIX}LOG_LEVEL"

Result = TypeVar("Result")


class Stopped(PlantError):
    """A signal ended the command: that is how it is stopped."""


def settings(*, quiet: bool = False, **overrides: object) -> Settings:
    """The environment's settings, with what the command line says over them; logging set up by them.

    *quiet*: a command that talks to a person logs only warnings, unless the environment wants more.
    """
    given = {PREFIX + name.upper(): str(value) for name, value in overrides.items() if value is not None}
    environ = {name: value for name, value in os.environ.items() if name.removesuffix(OF_FILE) not in given} | given
    if quiet and _LOG_LEVEL + OF_FILE not in environ:
        environ = {_LOG_LEVEL: "WARNING"} | environ
    read = settings_of(environ)
    logging.config.dictConfig(logging_config(read.log_level))
    return read


def handed_on() -> dict[str, str]:
    """The environment's settings that the processes of an embedded system take over: all but addresses and keys."""
    ours = ("DATABASE_URL", "MQTT_", "HTTP_", "ORDER_")
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and not name.removeprefix(PREFIX).startswith(ours)
    }


def settings_of(environ: Mapping[str, str]) -> Settings:
    """The settings in *environ*, in which NAME_FILE stands for a file that holds the value of NAME.

    So a secret need not be in the environment, which others can read and which is inherited.

    Raises
    ------
    BadDocument
        With every fault of the environment and of its files.
    """
    known = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    values, faults = dict(environ), list[Fault]()
    for name, path in environ.items():
        setting = name.removesuffix(OF_FILE)
        if name in known or name == setting or setting not in known:
            continue
        del values[name]
        if setting in environ:
            faults.append(Fault(name, f"and {setting} are both set: which one counts?"))
            continue
        try:
            values[setting] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            faults.append(Fault(name, f"{path!r} cannot be read: {error}"))
    try:
        read = Settings.from_environ(values)
    except BadDocument as error:
        raise BadDocument(error.source, [*faults, *error.faults]) from None
    if faults:
        raise BadDocument("environment", faults)
    return read


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run *main* until it returns or SIGINT or SIGTERM cancels it.

    Raises
    ------
    Stopped
        If a signal ended it.
    """
    return asyncio.run(_until_signalled(main))


async def _until_signalled(main: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if stopped:
            raise Stopped("stopped") from None
        raise


def guarded(command: Coroutine[Any, Any, Result]) -> Result:
    """`run`, with the errors that we raise on purpose told in a sentence and turned into an exit code."""
    try:
        return run(command)
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        if not all(isinstance(error, PlantError) for error in errors):
            raise
        if any(not isinstance(error, Stopped) for error in errors):
            fail(*errors)
        raise SystemExit(0) from None
    except Stopped:
        raise SystemExit(0) from None
    except PlantError as error:
        fail(error)


def fail(*errors: BaseException) -> NoReturn:
    """Say *errors* on stderr and leave: 2 where what was asked is wrong, 1 where it failed."""
    for text in dict.fromkeys(str(error) for error in errors):
        print(f"stackwatch: {text}", file=sys.stderr)
    misused = any(isinstance(error, BadDocument) for error in errors)
    raise SystemExit(MISUSED if misused else FAILED)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
