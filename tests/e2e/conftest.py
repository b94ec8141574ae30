"""One finished main job for all tests that only look at one."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from tests.e2e.commands import FAMILY
from tests.projects import make_project, run_pipelines

_FAMILY = {**FAMILY, "training": {"epochs": 3, "checkpoint_every": 1, "validate_every": 2}}
TINY = {
    "fabrication": {"num_train": 120, "num_test": 40, "num_labels": 40, "image_pixels": 32},
    "data": {"validation_fraction": 0.1},
    "vision": {"tiny_image_size": 32},
    "evaluation": {"ks": [1, 5, 10], "top_k": 20},
    "comparison": {"bootstrap_samples": 100, "gallery_queries": 10},
    "encoder": _FAMILY,
    "decoder": _FAMILY,
}


@pytest.fixture(scope="session")
def tiny() -> dict:
    """Parameters that make every pipeline a matter of seconds."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project in which the default pipeline has run; `printed.txt` holds what it printed. Do not train in it."""
    folder = make_project(tmp_path_factory.mktemp("finished") / "project", empty_store)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        run_pipelines(folder, params=TINY)
    (folder / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")
    return folder


@pytest.fixture
def ingested(finished: Path, project: Path) -> Path:
    """A project of the test's own with the finished run's clean data, image bank and tokens, but no model."""
    for layer in ("01_raw", "02_intermediate", "03_primary", "04_feature"):
        shutil.copytree(finished / "data" / layer, project / "data" / layer)
    reports = Path("data", "08_reporting", "demo")
    (project / reports).mkdir(parents=True)
    for name in ("data_report.json", "image_report.json"):
        shutil.copy(finished / reports / name, project / reports)
    return project


@pytest.fixture
def trained(finished: Path, project: Path) -> Path:
    """A project of the test's own with all that the finished run made, but for what MLflow has."""
    shutil.copytree(finished / "data", project / "data")
    return project
