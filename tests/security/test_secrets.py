"""No secret in a tracked file, and none in what the project writes about itself."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

from vixml.core.redact import RedactingFilter, guard_logging, is_secret, redact

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = (
    *("AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector", "GitLabTokenDetector"),
    *("JwtTokenDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SlackDetector"),
    *("StripeDetector", "TwilioKeyDetector"),
)
INVENTED = {
    *("tests/security/test_secrets.py", "tests/tracking/test_background_sender.py", "tests/tracking/test_hooks.py"),
    "tests/ingestion/test_download.py",
}
"""Files whose secrets are made up for tests."""


def scan(file: Path) -> list[str]:
    secrets = SecretsCollection()
    with transient_settings({"plugins_used": [{"name": name} for name in PLUGINS]}):
        secrets.scan_file(str(file))
    return [f"line {secret.line_number}: {secret.type}" for _, secret in secrets]


def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    )
    return [name for name in listed.stdout.decode().split("\0") if name]


def test_no_secret_is_tracked():
    names = [name for name in tracked() if name not in INVENTED and (ROOT / name).is_file()]
    assert len(names) > 100
    assert {name: found for name in names if (found := scan(ROOT / name))} == {}


def test_the_scan_finds_secrets(tmp_path):
    file = tmp_path / "settings.yml"
    file.write_text("key: AKIA" + "ABCDEFGHIJ" + "KLMNOP\nurl: https://me:hunter22@example.org\n")
    assert len(scan(file)) == 2


def test_credentials_are_never_tracked():
    assert [name for name in tracked() if "credentials" in Path(name).name] == []
    assert [name for name in tracked() if name.startswith("conf/local/") and not name.endswith(".gitkeep")] == []


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
