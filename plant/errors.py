"""The errors that every process understands: one class for each reaction, not for each cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PlantError(Exception):
    """Base of every error this project raises on purpose."""


class Undecodable(PlantError):
    """A payload that cannot be read. Quarantine it; a retry cannot help."""


class Unavailable(PlantError):
    """A service is away. Retry with backoff; nothing was lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in something a person wrote: where, what, and what would be right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class BadDocument(PlantError):
    """A register, a pack or a request that says something impossible. Show every fault to its author."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{source}: {fault}" for fault in self.faults))


class IllegalTransition(PlantError):
    """An action that the present state does not allow. Nothing has changed; answer 409."""

    def __init__(self, machine: str, state: str, action: str, why: str = "") -> None:
        self.machine = machine
        self.state = state
        self.action = action
        super().__init__(f"{machine} is {state}: it does not allow {action!r}{f' ({why})' if why else ''}")


class RoleMissing(PlantError):
    """The principal may see this but may not do it. Answer 403."""


class NotFound(PlantError):
    """There is no such thing in the principal's scope. Answer 404."""


class Refused(PlantError):
    """What was asked is understood and not possible now; the text says why. Answer 409."""
