"""Whether this machine's clock is kept right: rows are dated by it, and nobody else can tell."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5  # <sys/timex.h>: the clock is not synchronised
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")
_ROOM: Final = 256  # `struct ntptimeval` is smaller everywhere


def synchronised() -> bool | None:
    """What the kernel was told by the time service; None where it cannot be asked."""
    try:
        state: int = ctypes.CDLL(None).ntp_gettime(ctypes.create_string_buffer(_ROOM))
    except (AttributeError, OSError, TypeError):  # no glibc
        state = -1
    if state < 0:  # or a service that may not ask
        return True if _TIMESYNCD.exists() else None
    return state != _TIME_ERROR
