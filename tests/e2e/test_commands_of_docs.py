"""Every command in README and docs does what it says: run in order, in one project, at a tiny size.

The commands build on one another as they do for a reader, so this file runs as a whole.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.commands import REPOSITORY, Scratch, documented, server_of
from tests.e2e.stand_ins import write_checkpoints

pytestmark = pytest.mark.e2e

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def in_order(commands: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put each row of reproduce.md that only evaluates right behind the one that trains the model."""
    row = re.compile(r"(kedro run --env=\w+) --pipeline=evaluation --namespaces=(\w+) --params (\w+=([\w.-]+)),")
    evaluations = {
        f"{found[1]} --pipeline={found[2]} --params {found[3]},run_name={found[4]}": command
        for _, command in commands
        if (found := row.match(command))
    }
    ordered = []
    for page, command in commands:
        if not row.match(command):
            ordered.append((page, command))
            trained = next((start for start in evaluations if f"{command},".startswith(f"{start},")), None)
            if trained is not None:
                ordered.append((page, evaluations.pop(trained)))
    assert not evaluations, "nothing trains these"
    return ordered


COMMANDS = in_order(documented(PAGES))
END_WITHOUT_A_NETWORK = {
    r"hf-hub:timm/": "the vision model could not be loaded",
}
"""Commands that fetch a model, and the clear error that they end with offline. For others a tiny one stands in."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory, shared_dir: Path) -> Iterator[Scratch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "src"))))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("KEDRO_DISABLE_TELEMETRY", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        cache = tmp_path_factory.mktemp("hub")
        write_checkpoints(cache)
        patch.setenv("HF_HUB_CACHE", str(cache))
        made = Scratch(tmp_path_factory.mktemp("documented"), shared_dir / "models")
        yield made
        made.close()


def test_there_are_commands() -> None:
    """The pattern still finds what it looks for, in the README and beyond."""
    assert len(COMMANDS) > 30
    assert len({page for page, _ in COMMANDS}) > 10
    for pattern in END_WITHOUT_A_NETWORK:
        assert any(re.search(pattern, command) for _, command in COMMANDS), "an exception that is no longer needed"


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page}: {' '.join(command.split())[:160]}" for page, command in COMMANDS]
)
def test_command(page: str, command: str, scratch: Scratch) -> None:
    """It ends with exit code 0, a server answers, and what needs a network says so without one."""
    error = next((text for pattern, text in END_WITHOUT_A_NETWORK.items() if re.search(pattern, command)), None)
    if error is not None:
        assert scratch.run(page, command) == 1
        assert error in scratch.said()
    elif command.startswith("curl "):
        answer = subprocess.run(scratch.adapt(page, command), capture_output=True, text=True, check=True)
        assert "label" in answer.stdout, answer.stdout
        json.loads(answer.stdout)
    elif server_of(command):
        scratch.serve(command)
    else:
        assert scratch.run(page, command) == 0, scratch.said()
