"""Two runs of one variant through the real pipelines: the first one's results stay, and a regression fails the run."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.e2e


def test_two_runs_are_compared_and_a_regression_fails_after_the_report(kedro_run, ingested, tiny):
    from mlflow import MlflowClient

    project = ingested
    folder = project / "data/08_reporting/demo"
    kedro_run("encoder_text", params={**tiny, "run_name": "first"})
    first = json.loads((folder / "encoder_text/metrics.json").read_text())["metrics"]
    shorter = {**tiny, "encoder_text": {"optim": {"lr": 1e-9, "lr_other": 1e-9}}}
    kedro_run("encoder_text", params={**shorter, "run_name": "second"})

    kedro_run("comparison", params={**tiny, "runs": "second+first"})
    report = json.loads((folder / "comparison_report.json").read_text())
    assert report["order"] == ["encoder_text (second)", "encoder_text (first)"]
    assert report["variants"]["encoder_text (first)"]["metrics"] == first
    second = report["variants"]["encoder_text (second)"]["metrics"]

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("vixml").experiment_id])
    known = {run.info.run_id for run in runs if run.info.run_name in ("encoder_text (first)", "encoder_text (second)")}
    assert {entry["mlflow_id"] for entry in report["runs"].values()} == known
    (comparison,) = (run for run in runs if run.info.run_name == "comparison")
    assert "report.html" in {file.path for file in client.list_artifacts(comparison.info.run_id)}

    metrics = {"first": first, "second": second}
    worse, better = sorted(metrics, key=lambda name: metrics[name]["P@5"])
    assert metrics[worse]["P@5"] < metrics[better]["P@5"]
    check = {"baseline": better, "max_drop": 0.0, "metric": "P@5"}
    (folder / "report.html").unlink()
    with pytest.raises(Exception, match="regression: P@5 fell by more than 0 points"):
        kedro_run("comparison", params={**tiny, "runs": worse, "comparison": check})
    assert (folder / "report.html").is_file()
    kedro_run("comparison", params={**tiny, "runs": better, "comparison": {**check, "baseline": worse}})
    assert json.loads((folder / "regression_check.json").read_text())["ok"]
    columns = (folder / "comparison_table.csv").read_text().partition("\n")[0].split(",")
    assert [name for name in columns if name.endswith("with image")] == ["P@5 with image"]
