"""No secret in a tracked file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parents[2]

PLUGINS = (
    *("AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector", "GitLabTokenDetector"),
    *("JwtTokenDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SlackDetector"),
    *("StripeDetector", "TwilioKeyDetector"),
)

INVENTED = {
    *(
        "tests/security/test_secrets.py",
        "tests/core/test_redact.py",
        "tests/tracking/test_background_sender.py",
        "tests/tracking/test_hooks.py",
    ),
    *("tests/ingestion/test_download.py", "tests/images/test_fetch.py", "tests/web.py"),
}
"""Files whose secrets are made up for tests."""


def scan(*files: Path) -> dict[str, list[str]]:
    """Return the secrets of each file that has one."""
    secrets = SecretsCollection()
    with transient_settings({"plugins_used": [{"name": name} for name in PLUGINS]}):
        for file in files:
            secrets.scan_file(str(file))
    found: dict[str, list[str]] = {}
    for name, secret in secrets:
        found.setdefault(name, []).append(f"line {secret.line_number}: {secret.type}")
    return found


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
    assert scan(*(ROOT / name for name in names)) == {}


def test_the_scan_finds_secrets(tmp_path):
    file = tmp_path / "settings.yml"
    file.write_text("key: AKIA" + "ABCDEFGHIJ" + "KLMNOP\nurl: https://me:hunter22@example.org\n")
    assert [len(secrets) for secrets in scan(file).values()] == [2]


def test_credentials_are_never_tracked():
    assert [name for name in tracked() if "credentials" in Path(name).name] == []
    assert [name for name in tracked() if name.startswith("conf/local/") and not name.endswith(".gitkeep")] == []
