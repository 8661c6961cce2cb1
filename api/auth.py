"""Who asks, and what that lets them see and do (contract, section 4).

One order everywhere: 401 without a valid token where one is needed, then 404 for what is outside the scope, then
403 inside the scope without the role. A token that is not valid is refused even where none is needed, so
that its owner learns of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.context import Here
from plant.errors import PlantError, RoleMissing
from store.pool import transaction
from store.principals import AGENCY_ROLES, PLANT_ROLES, Principal, find_principal
from store.scope import Scope

ACKNOWLEDGE: Final = AGENCY_ROLES
"""Seeing an alert is the agency's act: the plant that is judged, or the administrator, cannot do it for them."""
FILE_MARK: Final = ("operator", "maintainer")
DECIDE_MARK: Final = ("reviewer", "decider")
SILENCE: Final = ("watch", "investigator")
SILENCE_OWN: Final = ("operator",)
"""Who may have the plant's own receivers left in peace, about its data alone."""
RELEASE: Final = ("admin", "investigator", "reviewer", "decider")
"""Who may have a quarantined payload read again: never the plant that sent it."""

_PUBLIC: Final = Scope(public=True)
_bearer: Final = HTTPBearer(auto_error=False, description="A token made by `stackwatch token create`.")


class Unauthenticated(PlantError):
    """No valid token where one is needed. Answer 401."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one request may see and do; without a principal: what everybody may."""

    principal: Principal | None

    @property
    def scope(self) -> Scope:
        return self.principal.scope if self.principal else _PUBLIC

    @property
    def roles(self) -> frozenset[str]:
        return self.principal.roles if self.principal else frozenset()

    @property
    def is_plant(self) -> bool:
        """Whether a plant asks, and nobody else."""
        return bool(self.roles) and self.roles <= frozenset(PLANT_ROLES)

    def signed_in(self) -> Principal:
        """The principal; `Unauthenticated` without one."""
        if self.principal is None:
            raise Unauthenticated("this needs a bearer token in the Authorization header")
        return self.principal

    def having(self, *roles: str) -> Principal:
        """The principal if it holds one of *roles*; `RoleMissing` otherwise."""
        principal = self.signed_in()
        if principal.roles.isdisjoint(roles):
            raise RoleMissing(
                f"this needs one of the roles {', '.join(roles)}; you are {', '.join(sorted(principal.roles))}"
            )
        return principal


async def _access(
    request: Request, here: Here, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Access:
    if "authorization" not in request.headers:
        return Access(None)
    if given is None:
        raise Unauthenticated("the Authorization header must be: Bearer TOKEN")
    async with transaction(here.pool) as conn:
        principal = await find_principal(conn, given.credentials)
    if principal is None:
        raise Unauthenticated("the token is unknown, expired or revoked")
    return Access(principal)


Asking = Annotated[Access, Depends(_access)]
ANYBODY: Final = Depends(_access)
"""Of a router whose answers are the same for everybody: a token that is not valid is refused there too."""
