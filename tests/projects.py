"""Throwaway projects with this project's configuration, and pipelines run in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def make_project(folder: Path, store: Path) -> Path:
    """Make a project without data.

    Args:
        folder: A new folder.
        store: An MLflow store to begin with.
    """
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / ".telemetry").write_text("consent: false\n", encoding="utf-8")
    (folder / "src").mkdir()
    shutil.copy(store, folder / "mlflow.db")
    return folder


def run_pipelines(
    project: Path, *names: str, params: dict[str, Any] | None = None, env: str | None = None, **options: Any
) -> dict[str, Any]:
    """Run pipelines in a project, the present working directory, as `kedro run --pipeline=NAME --params ...` does."""
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    with settings.SESSION_CLASS.create(project_path=project, runtime_params=params, env=env) as session:
        found: dict[str, Any] = session.run(pipeline_names=list(names) or None, **options)
        return found
