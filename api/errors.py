"""From an error to problem details (RFC 9457): one table, walked by the error's MRO. HTTP statuses are only here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.auth import Unauthenticated
from plant.errors import (
    BadDocument,
    IllegalTransition,
    NotFound,
    PlantError,
    Refused,
    RoleMissing,
    Unavailable,
    Undecodable,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:stackwatch:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    name: str
    title: str
    headers: Mapping[str, str] | None = None


KINDS: Final[Mapping[type[Exception], Kind]] = {
    Unauthenticated: Kind(401, "unauthenticated", "A valid token is needed", {"WWW-Authenticate": "Bearer"}),
    RoleMissing: Kind(403, "role-missing", "The role for this is missing"),
    NotFound: Kind(404, "not-found", "There is no such thing here"),
    IllegalTransition: Kind(409, "illegal-transition", "The present state does not allow this"),
    Refused: Kind(409, "refused", "Not possible now"),
    BadDocument: Kind(422, "bad-input", "The input is not right"),
    Undecodable: Kind(422, "bad-input", "The input is not right"),
    RequestValidationError: Kind(422, "bad-input", "The input is not right"),
    Unavailable: Kind(503, "unavailable", "A service is away", {"Retry-After": "5"}),
    Exception: Kind(500, "internal", "A mistake of ours"),
}


def kind_of(error: Exception) -> Kind:
    """How *error* is answered: the entry of its class, else of its nearest base."""
    return next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)


def problem(
    status: int, name: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    body = {"type": TYPE_PREFIX + name, "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of *app*, the framework's own too, with problem details."""
    app.add_exception_handler(PlantError, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer_framework)
    app.add_exception_handler(Exception, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    kind = kind_of(error)
    more: dict[str, Any] = {}
    match error:
        case RequestValidationError():
            more["errors"] = [
                {
                    "path": ".".join(str(part) for part in fault["loc"]),
                    "message": fault["msg"].removeprefix("Value error, "),
                }
                for fault in error.errors()
            ]
            detail = "; ".join(f"{fault['path']}: {fault['message']}" for fault in more["errors"])
        case BadDocument():
            more["errors"] = [{"path": fault.path, "message": fault.message} for fault in error.faults]
            detail = "; ".join(map(str, error.faults))
        case Unavailable():
            # The driver's text names hosts and users: it is for the log.
            logger.warning("service_missed", extra={"path": request.url.path, "error": str(error)})
            detail = "the database or another service is away; nothing was changed, try again"
        case PlantError():
            detail = str(error)
        case _:
            detail = "the server's log says more"
    return problem(kind.status, kind.name, kind.title, detail, headers=kind.headers, **more)


async def _answer_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    name = phrase.lower().replace(" ", "-")
    detail = error.detail if error.detail != phrase else f"{request.method} {request.url.path}: {phrase}"
    return problem(error.status_code, name, phrase, detail, headers=error.headers)
