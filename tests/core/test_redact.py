"""Names, addresses and log messages lose their secrets and nothing else."""

from __future__ import annotations

import logging

import pytest

from vixml.core.redact import RedactingFilter, guard_logging, is_secret, redact


@pytest.mark.parametrize("name", ["token", "hub.token", "server.password", "api_key", "x.aws_secret", "auth", "apikey"])
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["batching.chunk_tokens", "tokens", "tokenizer", "author", "keys", "secretary"])
def test_names_that_are_none(name):
    assert not is_secret(name)


def test_urls_lose_their_secrets_and_nothing_else():
    assert redact("see https://me:pw@host:80/a?x=1&token=abc&y=2.") == "see https://***@host:80/a?x=1&token=***&y=2."
    assert redact("sqlite:////data/mlflow.db and a@b.org") == "sqlite:////data/mlflow.db and a@b.org"
    assert redact("https://host/a@2x.png") == "https://host/a@2x.png"


def test_log_messages_are_redacted(caplog):
    log = logging.getLogger("vixml.some.room")
    with caplog.at_level(logging.INFO):
        caplog.handler.addFilter(guard := RedactingFilter())
        log.info("opening %s", "https://me:hunter22@example.org/")
        caplog.handler.removeFilter(guard)
    assert caplog.messages == ["opening https://***@example.org/"]


def test_every_handler_is_guarded_once():
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        guard_logging()
        guard_logging()
        assert [type(known) for known in handler.filters] == [RedactingFilter]
    finally:
        root.removeHandler(handler)
