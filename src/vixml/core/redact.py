"""Keeping secrets out of all that is written: log lines, tracebacks, files, MLflow."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_NAMES = (
    r"token|password|passwd|pwd|passphrase|passcode|secret|credentials?|authorization|auth|bearer"
    r"|(?:api|access|private|secret|account|shared)[_\- ]?key"
)
_SECRET_NAME = re.compile(rf"(?:^|[._\-/ ])(?:{_NAMES})$", re.IGNORECASE)
_SECRET_GROUP = re.compile(r"(?:^|[./])(?:credentials?|secrets?|authorization)[./]", re.IGNORECASE)
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")  # apiKey
_QUOTE = r"\\?['\"]?"
_RULES = (
    # a password may hold slashes and further @
    re.compile(
        r"(?P<name>[a-z0-9]://)(?:[^\s/:@\"<>]*:(?!\d{1,5}[?#])(?:(?!://)[^\s\"<>])*|[^/\s@'\"]+)(?=@)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<name>-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----).*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(rf"(?P<name>authorization{_QUOTE}[ \t]{{0,8}}[=:][ \t]{{0,8}}{_QUOTE})[^\r\n'\"\\]+", re.IGNORECASE),
    re.compile(r"(?P<name>\bbearer[ \t]{1,8})[^\s'\",;]+", re.IGNORECASE),
    re.compile(r"(?P<name>\bBasic[ \t]{1,8})[A-Za-z0-9+/]{8,400}={1,2}"),
    # `name=value`, `name: value`, `"name": "value"`, also where the quotes are escaped
    re.compile(
        rf"(?P<name>(?:{_NAMES}|sig|signature){_QUOTE}[ \t]{{0,8}}[=:](?!//)[ \t]{{0,8}})"
        r"(?:\\\"[^\"\\]*\\\"|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^&\s'\"]+)",
        re.IGNORECASE,
    ),
    re.compile(rf"(?P<name>--[\w\-]{{0,40}}(?:{_NAMES})[ \t]{{1,8}})[^\s'\"-][^\s'\"]*", re.IGNORECASE),
    # what some services' tokens begin with
    re.compile(r"\b(?P<name>hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abp]-)[A-Za-z0-9_\-]{16,}"),
)


def is_secret(name: str) -> bool:
    """Return whether a dotted setting names a secret: `hub.token` and `credentials.x`, not `batching.chunk_tokens`."""
    name = _WORDS.sub("_", name)
    return _SECRET_NAME.search(name) is not None or _SECRET_GROUP.search(name) is not None


def redact(text: str) -> str:
    """Return `text` without what looks like a secret.

    `***` stands for user and password of URLs; for values of parameters, JSON entries, headers and options that are
    secret by their name (`token=`, `"token": "..."`, `Authorization: Bearer ...`, `--password ...`); for private keys
    and tokens that are known by how they begin. Better one word too many than one too few.
    """
    for pattern in _RULES:
        text = pattern.sub(rf"\g<name>{HIDDEN}", text)
    return text


def redact_document(value: Any, name: str = "") -> Any:
    """Return a JSON document whose texts are redacted, and entries with a secret's name hidden."""
    if isinstance(value, Mapping):
        return {key: redact_document(below, f"{name}.{key}") for key, below in value.items()}
    if value is not None and not isinstance(value, bool) and is_secret(name):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [redact_document(below, name) for below in value]
    return redact(value) if isinstance(value, str) else value


class RedactingFilter(logging.Filter):
    """A logging filter that redacts every message, with its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite message and traceback where they hold a secret; let every record pass."""
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            trace = logging.Formatter().formatException(record.exc_info)
            if (clean := redact(trace)) != trace:
                record.exc_text, record.exc_info = clean, None  # else a handler formats the error once more
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def guard_logging() -> None:
    """Put the filter on every handler of the root logger, once (Kedro refuses filters in conf/logging.yml)."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, RedactingFilter) for known in handler.filters):
            handler.addFilter(RedactingFilter())
