"""Logs of the server: lines for people, or one JSON object a line for a log collector."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum


class LogFormat(StrEnum):
    """How logs are written."""

    TEXT = "text"
    JSON = "json"


REQUESTS = "vixml.requests"
"""Logger of one line a request, with its facts and without its content."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then the facts of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what the message holds cannot begin another one."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextmanager
def server_logs(kind: LogFormat) -> Iterator[None]:
    """Write the logs of this process to its error output until the block ends; then they go where they went before.

    Args:
        kind: `text` for lines about the server alone, `json` for JSON lines, which also report every request.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if kind is LogFormat.JSON else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    in_json = logging.INFO if kind is LogFormat.JSON else logging.WARNING
    levels = {
        "": logging.WARNING,
        "vixml.serving.web": logging.INFO,
        REQUESTS: in_json,
        "uvicorn": logging.NOTSET,
        "uvicorn.error": in_json,
        "uvicorn.access": logging.WARNING,  # `REQUESTS` says more of a request
    }
    loggers = {name: logging.getLogger(name) for name in levels}
    before = {name: (one.level, list(one.handlers), one.propagate) for name, one in loggers.items()}
    for name, one in loggers.items():
        one.setLevel(levels[name])
        if not name or name.startswith("uvicorn"):
            one.handlers, one.propagate = [] if name else [handler], True
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for name, (level, handlers, propagate) in before.items():
            loggers[name].setLevel(level)
            loggers[name].handlers, loggers[name].propagate = handlers, propagate
