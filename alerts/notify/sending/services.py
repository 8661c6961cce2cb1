"""One message to a chat service or a server of one's own, through Apprise, in a thread.

Apprise logs what it does with parts of URLs and texts in it; of all that only the number of an HTTP answer is taken
over, into the reason of a failure. Redirects are off, certificates are checked, nothing is kept on disk.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.common import PersistentStoreMode

from alerts.notify.outcomes import Failed, Outcome

_STATUS: Final = re.compile(r"error=(\d{3})\b")
_LOGGER: Final = logging.getLogger("apprise")


class _Asset(AppriseAsset):
    app_id = "stackwatch"
    app_desc = "stackwatch"
    app_url = ""
    async_mode = False  # the thread is ours
    http_redirects = False
    secure_logging = True


class _Heard(logging.Handler):
    """The HTTP statuses that Apprise warns of in one thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.status: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage()) if record.thread == self._thread else None
        self.status = int(found[1]) if found else self.status


@cache
def _prepare() -> None:
    """Load all services once, when the first is needed, and keep Apprise's own words out of our log.

    They may hold tokens and texts. What it says about the age of modules that it imports is for its authors.
    """
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        Apprise.instantiate("json://localhost", suppress_exceptions=True)


def service_of(url: str) -> NotifyBase | None:
    """What Apprise makes of *url*; None where it does not understand it."""
    _prepare()
    return Apprise.instantiate(url, asset=_asset(), suppress_exceptions=True)


def send(url: str, subject: str, body: str) -> Outcome:
    """Hand one message over. Blocks; each wait has the deadline of Apprise's own (4 s)."""
    service = service_of(url)
    if service is None:
        return Failed(reason="Apprise does not understand the URL")
    with _listening() as heard:
        try:
            taken = service.notify(
                body=body, title=subject, notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001  # whatever a service's module did not expect is its failure
            return Failed(reason=f"the service's answer was not understood: {type(error).__name__}")
        if taken:
            return None
        if heard.status is not None:
            return Failed(reason=f"the service answered {heard.status}", gone=heard.status == 410)
        return Failed(reason="the service cannot be reached, or did not take it")


def _asset() -> AppriseAsset:
    return _Asset(storage_mode=PersistentStoreMode.MEMORY)


@contextmanager
def _listening() -> Iterator[_Heard]:
    heard = _Heard()
    _LOGGER.addHandler(heard)
    try:
        yield heard
    finally:
        _LOGGER.removeHandler(heard)
