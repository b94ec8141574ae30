"""Every command in README and docs does what it says: run in order, in one project, at a tiny size.

The commands build on one another as they do for a reader, so each chain runs as a whole. Rows of reproduce.md whose
data set, variant, recipe and settings other rows try as well are left to `tests/test_reproduce.py`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.commands import INSTALLED, REPOSITORY, Scratch, recipe_of, server_of
from tests.e2e.documented import CHAINS, COMMANDS, PAGES, REPRODUCE, documented, parts_of
from tests.e2e.stand_ins import write_checkpoints, write_models

pytestmark = pytest.mark.e2e

END_WITHOUT_A_NETWORK = {
    r"hf-hub:timm/": "the pretrained model is not on this machine",
}
"""Commands that fetch a model, and the clear error that they end with offline. For others a tiny one stands in."""

CASES = [
    pytest.param(chain, page, command, id=f"{page}: {' '.join(command.split())[:160]}")
    for chain, commands in CHAINS.items()
    for page, command in commands
]


@pytest.fixture(scope="module")
def scratch_of(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Callable[[str], Scratch]]:
    """The project of a chain, made when the first of its commands runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "src"))))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("KEDRO_DISABLE_TELEMETRY", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        cache, models = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("models")
        write_checkpoints(cache)
        write_models(models)
        patch.setenv("HF_HUB_CACHE", str(cache))
        made: dict[str, Scratch] = {}

        def scratch(chain: str) -> Scratch:
            if chain not in made:  # in the other chain a documented run makes the store
                store = empty_store if chain == "reproduce" else None
                made[chain] = Scratch(tmp_path_factory.mktemp(chain), models, store)
            return made[chain]

        yield scratch
        for project in made.values():
            project.close()


def test_there_are_commands() -> None:
    """The pattern still finds what it looks for, in the README and beyond."""
    assert len(COMMANDS) > 30
    assert len({page for page, _ in COMMANDS}) > 10
    for pattern in END_WITHOUT_A_NETWORK:
        assert any(re.search(pattern, command) for _, command in COMMANDS), "an exception that is no longer needed"


def test_what_is_left_out_is_tried_by_others() -> None:
    """Only rows of reproduce.md are left out, and each of their parts is in a row that runs."""
    everything = documented(PAGES)
    assert set(COMMANDS) <= set(everything)
    left = [entry for entry in everything if entry not in COMMANDS]
    assert {page for page, _ in left} == {REPRODUCE}
    run = [command for page, command in CHAINS["reproduce"] if re.search(r"--pipeline=\w+(_|n)", command)]
    tried = set().union(*(parts_of(command) for command in run if "image_download" not in command))
    assert [command for _, command in left if not parts_of(command) <= tried] == []


def test_targets_that_are_only_named_run_a_command_that_is_tried() -> None:
    """`make viz` and `make mlflow` start what other pages start without make."""
    commands = {command for _, command in COMMANDS}
    for name in ("viz", "mlflow", "viz-site"):
        assert shlex.join(recipe_of(["make", "-C", str(REPOSITORY), "-n", *INSTALLED, name])) in commands


@pytest.mark.parametrize(("chain", "page", "command"), CASES)
def test_command(chain: str, page: str, command: str, scratch_of: Callable[[str], Scratch]) -> None:
    """It ends with exit code 0, a server answers, and what needs a network says so without one."""
    scratch = scratch_of(chain)
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
