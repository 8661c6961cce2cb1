from __future__ import annotations

import inspect

import pytest
from fastapi.exceptions import RequestValidationError

from api.auth import Unauthenticated
from api.errors import kind_of
from plant import errors
from plant.errors import BadDocument, IllegalTransition, NotFound, PlantError, Refused, RoleMissing, Unavailable


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("x"), 401),
        (RoleMissing("x"), 403),
        (NotFound("x"), 404),
        (IllegalTransition("case", "lifted", "lift"), 409),
        (Refused("x"), 409),
        (BadDocument("x", []), 422),
        (RequestValidationError([]), 422),
        (Unavailable("x"), 503),
        (RuntimeError("x"), 500),
        (PlantError("x"), 500),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int) -> None:
    assert kind_of(error).status == status


def test_a_subclass_is_answered_as_its_nearest_base() -> None:
    class GoneForNow(Unavailable):
        pass

    assert kind_of(GoneForNow("x")).status == 503


def test_no_error_that_every_process_knows_is_a_mistake_of_ours() -> None:
    known = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, PlantError)]
    assert len(known) > 5
    for cls in known:
        if cls is not PlantError:
            assert kind_of(cls.__new__(cls)).status < 500 or cls is Unavailable, cls
