"""Telling systemd that the process is ready and alive, where it asks (`Type=notify`, `WatchdogSec=`)."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

WATCH_EVERY_S: Final = 5.0  # `WatchdogSec=` of the unit is to be several times as long


def notify(message: str) -> None:
    """Send *message*, such as `READY=1`, to the service manager; without one, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
