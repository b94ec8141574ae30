"""What travels to the ranks of a job and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vixml.core.directories import Built, WorkDirectory, publish
from vixml.data.dataset import Dataset
from vixml.distributed.job import decoded, encoded, run_job
from vixml.params.training import TrainingParams


def test_arguments_and_results_travel_as_json(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "a.txt").write_text("a")
    sealed = publish(Built(tmp_path / "built", "thing", {"steps": 3}), tmp_path / "published")
    value = {
        "tuple": (Built(tmp_path, "model", {"steps": 3}), [{"epoch": 1}], {"a": None}),
        "folders": [sealed, Dataset(sealed), WorkDirectory(tmp_path), tmp_path],
        "settings": TrainingParams(processes=3),
        "plain": "plain",
    }
    assert decoded(json.loads(json.dumps(encoded(value)))) == value


def test_a_job_calls_functions_of_this_package_alone(tmp_path: Path) -> None:
    job = {"function": "os:getcwd", "arguments": {}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    with pytest.raises(AssertionError, match="os:getcwd"):
        run_job(tmp_path)
    job = {"function": "vixml.core.redact:redact", "arguments": {"text": "plain"}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert run_job(tmp_path) == "plain"
