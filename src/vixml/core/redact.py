"""Keeping secrets out of logs and trackers."""

from __future__ import annotations

import logging
import re

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(^|[._\-/ ])(token|password|passwd|pwd|secret|credentials?|api_?key|access_key|private_key|auth)$", re.IGNORECASE
)
_USER_IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]*://)[^/\s@'\"]+@", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    r"(?P<name>(?:token|password|passwd|secret|api_?key|access_key|sig|signature)=)[^&\s'\"]+", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Tell whether a dotted setting's last word names a secret: `hub.token` does, `batching.chunk_tokens` does not."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """Return `text` without user and password of its URLs, and without the values of parameters like `token=`."""
    text = _USER_IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _SECRET_IN_TEXT.sub(rf"\g<name>{HIDDEN}", text)


class RedactingFilter(logging.Filter):
    """A logging filter that redacts every message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the message where it holds a secret; let every record pass."""
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        return True


def guard_logging() -> None:
    """Put the filter on every handler of the root logger, once (Kedro refuses filters in conf/logging.yml)."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, RedactingFilter) for known in handler.filters):
            handler.addFilter(RedactingFilter())
