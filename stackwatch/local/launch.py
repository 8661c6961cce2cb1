"""What a new child does before it becomes its program: drop its rights, and agree to die with its parent.

Run by path with a bare interpreter (`python -I -S launch.py ...`), so it imports nothing of ours; and all
imports come first, because the user it becomes may not be able to read the interpreter's library. A program
of its own, not a `preexec_fn`: Python between fork and exec may deadlock in a process that has threads.

    launch.py PARENT DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]        UID and GID may be -
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
#: Signals that a parent in the background of a shell, or Python itself, may have set to be ignored.
_RESET = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGXFSZ")


def main(arguments: list[str]) -> None:
    parent, death_signal, uid, gid, program = arguments[:5]
    os.setpgid(0, 0)  # Ctrl-C at the terminal is for the supervisor, which ends its children in order
    os.umask(0o077)
    for name in _RESET:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    die_with_parent(int(death_signal))  # after the change of user: the kernel forgets it there
    if os.getppid() != int(parent):
        os._exit(125)  # it died before the kernel knew of our wish
    os.execv(program, arguments[4:])


def die_with_parent(death_signal: int) -> None:
    """Ask the kernel for *death_signal* when the parent ends; elsewhere the next start cleans up."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        os._exit(124)


if __name__ == "__main__":
    main(sys.argv[1:])
