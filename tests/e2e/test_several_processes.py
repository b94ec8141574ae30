"""One variant trained by two processes under `kedro run`: the metrics of one, one MLflow run, the same graph."""

from __future__ import annotations

import json
import shutil

import pytest

pytestmark = pytest.mark.e2e


def test_two_processes_give_the_metrics_of_one(kedro_run, ingested, tiny, monkeypatch):
    from mlflow import MlflowClient

    project = ingested
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    metrics = {}
    for processes in (1, 2):
        params = {**tiny, "encoder_vision": {"training": {"processes": processes}}, "run_name": f"by {processes}"}
        kedro_run("encoder_vision", params=params)
        file = project / "data/08_reporting/demo/encoder_vision/metrics.json"
        metrics[processes] = json.loads(file.read_text())["metrics"]
        if processes == 1:
            shutil.rmtree(project / "data/06_models/demo/encoder_vision")
    assert metrics[2].keys() == metrics[1].keys()
    assert metrics[2] == pytest.approx(metrics[1], abs=5e-4)  # in two digits of a percent
    ranks = {path.parent.name for path in project.rglob("*.ranks/job.json")}
    assert ranks == {"train_warmup.ranks", "refresh_hard_negatives.ranks", "train_hard.ranks", "embed.ranks"}

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("vixml").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["encoder_vision (by 1)", "encoder_vision (by 2)"]
    curves = [client.get_metric_history(run.info.run_id, "epoch/loss") for run in runs]
    assert len(curves[0]) == len(curves[1]) > 0
