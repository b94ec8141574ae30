"""Shared fixtures: no network, one thread, the shared data, and a throwaway copy of the project's configuration."""

from __future__ import annotations

import os

# before anything imports torch, transformers or Kedro
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
# MLflow's servers start four web workers and seven processes of a job queue, each of which imports everything
os.environ["MLFLOW_WORKERS"] = "1"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import functools
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kedro.framework.project  # noqa: F401 - sets up logging when it is first imported, which would take pytest's handlers
import pytest
import tests.shortcuts  # noqa: F401
from hypothesis import HealthCheck, settings
from tests import processes
from tests.projects import make_project, run_pipelines
from tests.web import Web, pictures_on_the_web

# a busy machine is no fault of what is tested
settings.register_profile("vixml", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vixml")

REPOSITORY = Path(__file__).resolve().parents[1]


FINISHED = (
    *("main_job", "look", "notebooks", "ablation", "runs_of_a_variant", "two_runs", "labels_of_a_variant", "evidence"),
)
"""End-to-end tests of the finished run that `tests/e2e/conftest.py` makes once."""

GROUPS = {
    "tests/e2e/test_commands_of_docs.py::test_command[reproduce.md": "reproduce",
    **dict.fromkeys((f"tests/e2e/test_{name}.py" for name in FINISHED), "finished"),
}
"""Beginning of a test's id -> its group; other tests are grouped by their files."""

FIRST = ("tests/e2e/test_commands_of_docs.py", "finished", "reproduce", "tests/e2e", "tests/freshness")
"""The longest groups: on several processes they start first, so that none is left alone at the end.

The second begins in its own process, while the first waits for the fork server.
"""


def group_of(name: str) -> str:
    """Return the group of the test with this id: tests that share something go to one process, in their order."""
    return next((group for start, group in GROUPS.items() if name.startswith(start)), name.partition("::")[0])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first."""

    def rank(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return next((place for place, start in enumerate(FIRST) if group.startswith(start)), len(FIRST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Let no later collection of garbage walk through all that was imported to find the tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """On several processes (`pytest -n 2`) hand out whole groups, in their order."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_fork_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let all workers of this run use one fork server, which the first that needs it starts."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        processes.WORKERS[:] = [tmp_path_factory.getbasetemp().parent]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Inputs with the outputs of an independent implementation of the method, and the tiny networks they need."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of real data and pretrained models, which are too large for the repository."""
    folder = Path(os.environ.get("VIXML_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no real data and pretrained models: set VIXML_SHARED to their folder")
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: making its tables takes seconds, so all tests copy this one."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """A new project folder with this project's configuration and no data."""
    folder = make_project(tmp_path / "project", empty_store)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def kedro_run(project: Path) -> Callable[..., dict[str, Any]]:
    """Run pipelines in the throwaway project, as `kedro run --pipeline=NAME --params ...` does."""
    return functools.partial(run_pipelines, project)


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server of pictures on this machine, which misbehaves as it is told."""
    with pictures_on_the_web() as served:
        yield served
