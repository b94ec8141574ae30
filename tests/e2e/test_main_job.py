"""The main job on a tiny catalogue: at once, of a user's own folder, and stage by stage; all with the same numbers."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from vixml.configuration.compose import VARIANTS
from vixml.core.directories import is_sealed, open_sealed

pytestmark = pytest.mark.e2e


def reports(project, name, dataset="demo"):
    return json.loads((project / "data" / "08_reporting" / dataset / name).read_text(encoding="utf-8"))


def results(project, dataset="demo"):
    """What two runs with one seed must share: the metrics, not the times."""
    return {name: reports(project, f"{name}/metrics.json", dataset)["metrics"] for name in VARIANTS}


def test_the_default_pipeline(finished):
    from mlflow import MlflowClient

    project = finished
    printed = (project / "printed.txt").read_text(encoding="utf-8")
    assert all(name in printed for name in (*VARIANTS, "label frequency", "P@1"))
    assert "Not evaluated yet" not in printed
    assert "embed_images: " in printed
    assert printed.rindex("data/08_reporting/demo/report.html") > printed.rindex("Next:") > printed.rindex("P@1")
    assert not re.search(r"Running |Kedro|system metrics|Loading weights", printed), "only what the project says"
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
        assert runs[name].data.tags["recipe"] == "demo"
        history = client.get_metric_history(runs[name].info.run_id, "epoch/loss")
        assert len(history) == 3


def test_a_users_own_folder_gives_the_same_numbers_and_leaves_the_demo_alone(finished, project, kedro_run, tiny):
    for layer in ("01_raw", "08_reporting"):
        shutil.copytree(finished / "data" / layer, project / "data" / layer)
    before = (project / "data/08_reporting/demo/comparison_report.json").read_bytes()
    shutil.move(project / "data/01_raw/demo", project / "my-shop")
    kedro_run("study", params={**tiny, "data_root": str(project / "my-shop")})
    assert results(project, "my-shop") == results(finished)
    assert (project / "data/08_reporting/demo/comparison_report.json").read_bytes() == before


def test_stage_by_stage_and_one_variant(kedro_run, project, capsys, tiny):
    for name in ("fabrication", "ingestion"):
        kedro_run(name, params=tiny)
    kedro_run("decoder_text", params=tiny)  # a text variant needs no image bank
    kedro_run("comparison", params=tiny)
    assert "Not evaluated yet: encoder_text, encoder_vision, decoder_vision." in capsys.readouterr().out
    first = reports(project, "decoder_text/metrics.json")["metrics"]

    for name in ("image_embedding", "training", "evaluation", "comparison"):
        kedro_run(name, params=tiny)
    assert "Not evaluated yet" not in capsys.readouterr().out
    assert reports(project, "decoder_text/metrics.json")["metrics"] == first

    kedro_run("hard_negative_refresh", params=tiny)
    kedro_run("training", params=tiny, namespaces=["encoder_vision"])
    kedro_run("evaluation", params=tiny, namespaces=["encoder_vision"])
    assert set(results(project)) == set(VARIANTS)
