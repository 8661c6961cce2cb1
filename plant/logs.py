"""The log record that every process writes: one JSON object a line on stderr, as a `dictConfig`.

A message is an event in snake case, past tense and constant; what varies is a field in `extra`.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if not _is_of_logging(key)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _is_of_logging(key: str) -> bool:
    """Whether a field is no field of the event: libraries (Ray) leave private ones on every record of a process."""
    return key in _STANDARD or key.startswith("_")


def logging_config(level: str) -> dict[str, Any]:
    """What to give to `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLines}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": level, "handlers": ["stderr"]},
        # They log every address that they ask, and addresses of webhooks are secrets.
        "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpcore", "urllib3")},
    }
