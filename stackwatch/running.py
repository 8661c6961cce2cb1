"""Running a command to its end: signals, exit codes, and errors said in a sentence.

0 done or stopped, 1 failed, 2 misused. People read stdout, logs go to stderr.
"""

from __future__ import annotations

import asyncio
import logging.config
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, Final, NoReturn, TypeVar

from plant.errors import BadDocument, PlantError
from plant.logs import logging_config
from plant.settings import PREFIX, Settings

FAILED: Final = 1
MISUSED: Final = 2

Result = TypeVar("Result")


class Stopped(PlantError):
    """A signal ended the command: that is how it is stopped."""


def settings(*, quiet: bool = False, **overrides: object) -> Settings:
    """The environment's settings, with what the command line says over them; logging set up by them.

    *quiet*: a command that talks to a person logs only warnings, unless the environment wants more.
    """
    environ = ({"STACKWATCH_LOG_LEVEL": "WARNING"} if quiet else {}) | dict(os.environ)
    given = {PREFIX + name.upper(): str(value) for name, value in overrides.items() if value is not None}
    read = Settings.from_environ(environ | given)
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
