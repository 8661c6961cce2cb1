"""What libraries log of their own accord."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator

import pytest

from plant.logs import logging_config


@pytest.fixture
def as_a_process() -> Iterator[None]:
    """The log as a process has it at its most talkative; as it was before afterwards."""
    root, others = logging.getLogger(), [logging.getLogger(name) for name in ("httpx", "httpcore", "urllib3")]
    before = root.level, root.handlers[:], [logger.level for logger in others]
    logging.config.dictConfig(logging_config("DEBUG"))
    yield
    root.handlers[:] = before[1]
    root.setLevel(before[0])
    for logger, level in zip(others, before[2], strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("as_a_process")
def test_an_address_that_is_asked_is_in_no_log_for_it_may_be_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("httpx", "httpcore.connection", "urllib3.connectionpool"):
        logging.getLogger(name).info("HTTP Request: POST https://desk.example/T0KEN")
    assert "T0KEN" not in capsys.readouterr().err
