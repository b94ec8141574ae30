"""A variant trained while the server is dead, and `sync_tracking` afterwards, as a user would type them."""

from __future__ import annotations

import json
import socket

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.e2e

TINY = {
    "fabrication": {"num_train": 60, "num_test": 20, "num_labels": 20, "image_pixels": 32},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    "encoder": {
        "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
        "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
        "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
        "training": {"epochs": 3, "checkpoint_every": 0, "validate_every": 0},
    },
}


def test_training_without_a_server_and_synchronising_later(project, kedro_run, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    local = project / "conf" / "local" / "mlflow.yml"
    local.parent.mkdir(exist_ok=True)
    local.write_text(f"server: {{mlflow_tracking_uri: 'http://127.0.0.1:{port}'}}\nvixml: {{wait_seconds: 5}}\n")
    for names in (["fabrication"], ["ingestion"], ["encoder_text"]):
        kedro_run(*names, params=TINY)
    assert "sync_tracking" in caplog.text
    folder = project / "data/08_reporting/demo/encoder_text"
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]

    local.unlink()
    kedro_run("sync_tracking", params=TINY)
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vixml").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == "encoder_text"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["P_at_1"] == pytest.approx(metrics["P@1"])
    assert run.data.params["training.epochs"] == "3"
    assert client.get_metric_history(run.info.run_id, "epoch/loss")[-1].step == 6
    (model,) = client.search_logged_models([experiment])
    assert model.params["path"].endswith("06_models/demo/encoder_text/model")
    report = json.loads((project / "data/08_reporting/demo/sync_report.json").read_text())
    assert [(entry["name"], entry["created"], entry["results"]) for entry in report] == [("encoder_text", True, True)]

    kedro_run("sync_tracking", params=TINY)
    report = json.loads((project / "data/08_reporting/demo/sync_report.json").read_text())
    assert [(entry["created"], entry["points"], entry["results"]) for entry in report] == [(False, 0, False)]
