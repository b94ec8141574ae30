"""Logs of the server: lines for people, or one JSON object a line for a log collector."""

from __future__ import annotations

import json
import logging
import sys
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


def configure_logs(kind: LogFormat) -> None:
    """Write the logs of this process to its error output.

    Args:
        kind: `text` for lines about the server alone, `json` for JSON lines, which also tell of every request.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if kind is LogFormat.JSON else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("vixml.serving.web").setLevel(logging.INFO)
    logging.getLogger(REQUESTS).setLevel(logging.INFO if kind is LogFormat.JSON else logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # `REQUESTS` tells more of a request
    logging.getLogger("uvicorn.error").setLevel(logging.INFO if kind is LogFormat.JSON else logging.WARNING)
    logging.captureWarnings(capture=True)
