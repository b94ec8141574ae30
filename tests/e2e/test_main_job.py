"""The main job on a tiny catalogue: every pipeline, in the order that a fresh user would try, and twice the same."""

from __future__ import annotations

import json
import shutil

import pytest

from vixml.core.directories import is_sealed, open_sealed
from vixml.params.composition import VARIANTS

pytestmark = pytest.mark.e2e

FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
    "training": {"epochs": 3, "checkpoint_every": 1, "validate_every": 2},
}
TINY = {
    "fabrication": {"num_train": 120, "num_test": 40, "num_labels": 40, "image_pixels": 32},
    "data": {"validation_fraction": 0.1},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    "encoder": FAMILY,
    "decoder": FAMILY,
}


def reports(project, name, dataset="demo"):
    return json.loads((project / "data" / "08_reporting" / dataset / name).read_text(encoding="utf-8"))


def results(project, dataset="demo"):
    """What two runs with one seed must share: the metrics, not the times."""
    return {name: reports(project, f"{name}/metrics.json", dataset)["metrics"] for name in VARIANTS}


def test_the_default_pipeline_and_a_users_own_folder(kedro_run, project, capsys):
    from mlflow import MlflowClient

    kedro_run(params=TINY)

    printed = capsys.readouterr().out
    assert all(name in printed for name in (*VARIANTS, "label frequency", "P@1"))
    assert "Not evaluated yet" not in printed
    for name in VARIANTS:
        models, outputs = project / "data/06_models/demo" / name, project / "data/07_model_output/demo" / name
        open_sealed(models / "model", kind="model").verify()
        assert is_sealed(outputs / "predictions")
        curve = [json.loads(line) for line in (outputs / "curve.jsonl").read_text().splitlines()]
        assert [record["epoch"] for record in curve if "loss" in record] == [1, 2, 3]
        assert any("validation/P@1" in record for record in curve)
    assert set(reports(project, "comparison_report.json")["variants"]) == set(VARIANTS)

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vixml").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {"default", *VARIANTS}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for name, metrics in results(project).items():
        assert runs[name].data.metrics["P_at_1"] == pytest.approx(metrics["P@1"])
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["default"].info.run_id
        assert runs[name].data.params["training.epochs"] == "3"
        history = client.get_metric_history(runs[name].info.run_id, "loss")
        assert len(history) == 3

    # the same raw files as a user's own folder: same numbers, other place, the demo's results untouched
    first = results(project)
    before = (project / "data/08_reporting/demo/comparison_report.json").stat().st_mtime_ns
    shutil.copytree(project / "data/01_raw/demo", project / "my-shop")
    kedro_run("study", params={**TINY, "data_root": str(project / "my-shop")})
    assert results(project, "my-shop") == first
    assert (project / "data/08_reporting/demo/comparison_report.json").stat().st_mtime_ns == before


def test_stage_by_stage_and_one_variant(kedro_run, project, capsys):
    for name in ("fabrication", "ingestion"):
        kedro_run(name, params=TINY)
    kedro_run("decoder_text", params=TINY)  # a text variant needs no image bank
    kedro_run("comparison", params=TINY)
    assert "Not evaluated yet: encoder_text, encoder_vision, decoder_vision." in capsys.readouterr().out
    first = reports(project, "decoder_text/metrics.json")["metrics"]

    for name in ("image_embedding", "training", "evaluation", "comparison"):
        kedro_run(name, params=TINY)
    assert "Not evaluated yet" not in capsys.readouterr().out
    assert reports(project, "decoder_text/metrics.json")["metrics"] == first

    kedro_run("hard_negative_refresh", params=TINY)
    kedro_run("training", params=TINY, namespaces=["encoder_vision"])
    kedro_run("evaluation", params=TINY, namespaces=["encoder_vision"])
    assert set(results(project)) == set(VARIANTS)
