"""Names, addresses, log messages and tracebacks lose their secrets and nothing else."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from vixml.core.errors import StateError
from vixml.core.redact import RedactingFilter, guard_logging, is_secret, redact, redact_document
from vixml.session import show_errors_briefly


@pytest.mark.parametrize("name", ["token", "hub.token", "server.password", "api_key", "x.aws_secret", "auth", "apikey"])
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("secret_key", "aws-secret-key", "passphrase", "ssh.passphrase", "authorization", "x.Authorization"),
        *("apiKey", "authToken", "api-key", "private_key", "credentials.user", "secrets.0.value"),
    ],
)
def test_more_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["batching.chunk_tokens", "tokens", "tokenizer", "author", "keys", "secretary", "chunkTokens", "key"]
)
def test_names_that_are_none(name):
    assert not is_secret(name)


def test_urls_lose_their_secrets_and_nothing_else():
    assert redact("see https://me:pw@host:80/a?x=1&token=abc&y=2.") == "see https://***@host:80/a?x=1&token=***&y=2."
    assert redact("sqlite:////data/mlflow.db and a@b.org") == "sqlite:////data/mlflow.db and a@b.org"
    assert redact("https://host/a@2x.png") == "https://host/a@2x.png"
    assert redact("the tokenizer: 7, num_tokens=5") == "the tokenizer: 7, num_tokens=5"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://me:pa/ss@host/x", "https://***@host/x"),
        ("https://me:p@/s@host/x", "https://***@host/x"),
        ("postgresql+psycopg2://u:hunter22@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("https://me:1234/hunter22@host", "https://***@host"),
        ("Bearer hunter22.x", "Bearer ***"),
        ("Authorization: Basic hunter22==", "Authorization: ***"),
        ("{'Authorization': 'Bearer hunter22'}", "{'Authorization': ***}"),
        ('{"token": "hunter22", "a": 1}', '{"token": ***, "a": 1}'),
        (r"{\"token\": \"hunter22\", \"a\": 1}", r"{\"token\": ***, \"a\": 1}"),
        (r'"token": "a\"hunter22"', '"token": ***'),
        ("api-key=hunter22", "api-key=***"),
        ("X-API-Key: hunter22", "X-API-Key: ***"),
        ("secret_key=hunter22,more", "secret_key=***"),
        ("passphrase='hunter22'", "passphrase=***"),
        ("run --password hunter22 --seed 1", "run --password *** --seed 1"),
        ("MLFLOW_TRACKING_PASSWORD=hunter22", "MLFLOW_TRACKING_PASSWORD=***"),
        ("found hf_abcdefghijklmnopqrst.", "found hf_***."),
    ],
)
def test_every_form_of_a_secret(text, clean):
    assert redact(text) == clean


def test_a_long_text_is_read_in_no_time():
    began = time.process_time()  # a busy machine is no fault of it
    redact("a" * 500_000 + "token" * 50_000 + "https://" * 20_000 + "x:" * 100_000 + '"' * 50_000)
    assert time.process_time() - began < 10


def test_documents_keep_their_form():
    hub = {"token": "abc", "url": "https://a:b@c"}
    assert redact_document({"hub": hub, "tokens": 5, "credentials": {"user": "me"}, "x": [None]}) == {
        "hub": {"token": "***", "url": "https://***@c"},
        "tokens": 5,
        "credentials": {"user": "***"},
        "x": [None],
    }


def test_log_messages_are_redacted(caplog):
    log = logging.getLogger("vixml.some.room")
    with caplog.at_level(logging.INFO):
        caplog.handler.addFilter(guard := RedactingFilter())
        log.info("opening %s", "https://me:hunter22@example.org/")
        caplog.handler.removeFilter(guard)
    assert caplog.messages == ["opening https://***@example.org/"]


def test_tracebacks_in_the_log_are_redacted(caplog):
    caplog.handler.addFilter(guard := RedactingFilter())
    try:
        raise OSError("cannot reach https://me:hunter22@example.org/")
    except OSError:
        logging.getLogger("vixml.some.room").exception("no server")
    finally:
        caplog.handler.removeFilter(guard)
    assert "hunter22" not in caplog.text
    assert "cannot reach https://***@example.org/" in caplog.text


@pytest.mark.parametrize("kind", [StateError, OSError])
def test_what_ends_a_run_shows_no_secret(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    show_errors_briefly(tmp_path / "logs" / "last_error.txt")
    try:
        try:
            raise ConnectionError("no answer of https://me:hunter22@example.org/")
        except ConnectionError as err:
            raise kind("no tracking at https://me:hunter22@example.org/") from err
    except kind as err:
        sys.excepthook(kind, err, err.__traceback__)
    shown = capsys.readouterr().err
    assert "no tracking at https://***@example.org/" in shown
    written = [file.read_text() for file in tmp_path.rglob("*.txt")]
    assert len(written) == (kind is StateError)
    assert all("no answer of https://***@example.org/" in text for text in written)
    assert "hunter22" not in "".join([shown, *written])


def test_every_handler_is_guarded_once():
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        guard_logging()
        guard_logging()
        assert [type(known) for known in handler.filters] == [RedactingFilter]
    finally:
        root.removeHandler(handler)
