"""The Dockerfile: a linter's view, what it copies and starts, and the page that says how to use it.

No image is built here. What is built and started is taken from the Dockerfile and checked against this project: the
extras, the files, the options of `vixml serve`, and the health check against a real server.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer

from vixml.commands import app
from vixml.serving.web.server import GRACE_SECONDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "production.md"


@pytest.fixture(scope="module")
def instructions():
    """(Instruction, its words) in order, comments and line continuations taken away."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def last(instructions):
    """The last value of each instruction of the last stage."""
    start = max(number for number, (name, _) in enumerate(instructions) if name == "FROM")
    return dict(instructions[start:])


@pytest.fixture(scope="module")
def documented():
    """The `docker` commands of the page, as words."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    found = [shlex.split(line) for line in re.findall(r"^    (docker .*)$", text, flags=re.MULTILINE)]
    assert {words[1] for words in found} >= {"build", "run", "stop"}
    return found


def test_a_linter_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed (extra `dev`, Linux)")
    ended = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_it_serves_as_another_user_than_root(instructions, last):
    user, _, group = last["USER"].partition(":")
    assert user.isdigit()
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in last["RUN"], "the user is made"
    names = [name for name, _ in instructions]
    assert names.index("USER") > max(number for number, name in enumerate(names) if name in ("RUN", "COPY"))


def test_what_is_copied_is_there_and_not_ignored(instructions):
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [words.split()[:-1] for name, words in instructions if name == "COPY" and "--from" not in words]
    assert {file for files in copied for file in files} == kept
    assert all((ROOT / file).exists() for file in kept)


def test_the_package_can_be_built_from_what_is_copied():
    """Files that the package's description names are in the build's context."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    kept = (ROOT / ".dockerignore").read_text()
    for file in (project["readme"], *project["license-files"]):
        assert f"!{file}\n" in kept


def test_build_arguments_are_extras(instructions, documented):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    arguments = dict(words.partition("=")[::2] for name, words in instructions if name == "ARG")
    assert arguments["EXTRA"] == "cpu"
    given = [word for words in documented for word in words if re.fullmatch(r"[A-Z_]+=.*", word)]
    assert {word.partition("=")[0] for word in given} <= set(arguments)
    assert {word for word in given if word.startswith("EXTRA=")} == {"EXTRA=gpu"}
    assert {"cpu", "gpu"} <= set(extras)
    install = next(words for name, words in instructions if name == "RUN" and "pip install" in words)
    assert '".[${EXTRA}]" -c constraints.txt' in install


def parsed(words):
    """What `vixml` understands of a command line."""
    command = typer.main.get_command(app)
    context = command.make_context("vixml", list(words), resilient_parsing=True)
    name, serve, rest = command.resolve_command(context, list(words))
    assert name == "serve"
    return serve.make_context(name, rest).params


def test_what_is_started_is_understood(last):
    start = [*json.loads(last["ENTRYPOINT"]), *json.loads(last["CMD"])]
    assert start[0] == "vixml"
    options = parsed(start[1:])
    assert str(options["port"]) == last["EXPOSE"]
    assert options["host"] == "0.0.0.0", "from outside of the container"
    assert options["logs"] == "json"
    assert options["grace"] == GRACE_SECONDS
    assert last["STOPSIGNAL"] == "SIGTERM"


def test_the_page_mounts_publishes_and_stops_what_the_file_has(last, documented):
    (model,) = parsed([*json.loads(last["ENTRYPOINT"]), *json.loads(last["CMD"])][1:])["model"]
    runs = [words for words in documented if words[1] == "run"]
    for words in runs:
        options = dict(itertools.pairwise(words))
        assert options["--publish"].rpartition(":")[2] == last["EXPOSE"]
        _, mounted, *mode = options["--volume"].split(":")
        assert model.is_relative_to(mounted)
        assert mode == ["ro"]
        assert int(options["--stop-timeout"]) > GRACE_SECONDS
    assert any("--gpus" in words for words in runs)
    tags = {words[words.index("--tag") + 1] for words in documented if words[1] == "build"}
    assert {words[-1] for words in runs} == tags


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_is_one(last, status, healthy, monkeypatch):
    monkeypatch.setattr(_Health, "status", status)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    if status is None:
        server.server_close()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    _, python, *words = json.loads("[" + '"CMD", ' + last["HEALTHCHECK"].partition("CMD [")[2])
    assert python == "python"
    words = [word.replace(f":{last['EXPOSE']}/", f":{server.server_port}/") for word in words]
    began = time.monotonic()
    ended = subprocess.run([sys.executable, *words], capture_output=True, check=False)
    assert (ended.returncode == 0) is healthy
    assert time.monotonic() - began < 600
    if status is not None:
        server.shutdown()
        server.server_close()
