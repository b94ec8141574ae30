"""The pipeline `ablation` through the real catalogue: each objective a run of its own, one readable table."""

from __future__ import annotations

import pandas as pd
import pytest

from vixml.core.directories import read_json

pytestmark = pytest.mark.e2e
CHOSEN = ("encoder_text_ngame", "encoder_vision_dexa", "encoder_vision_infonce")


def test_chosen_objectives_are_trained_and_compared(kedro_run, ingested, capsys, tiny):
    """A subset by namespace; the four variants' own results are not touched."""
    from mlflow import MlflowClient

    project = ingested
    kedro_run("ablation", params=tiny, namespaces=[*CHOSEN, "ablation"])

    names = [name.replace("text_", "text ").replace("vision_", "vision ") for name in CHOSEN]
    report = read_json(project / "data/08_reporting/demo/ablation/comparison_report.json")
    assert report["order"] == names
    assert len(report["missing"]) == 7
    objectives = {entry["settings"]["objective"]["name"] for entry in report["runs"].values()}
    assert objectives == {"ngame", "dexa", "infonce"}
    table = pd.read_csv(project / "data/08_reporting/demo/ablation/comparison_table.csv")
    assert table.loc[table["kind"] == "variant", "model"].tolist() == names
    assert (project / "data/08_reporting/demo/ablation/report.html").is_file()
    assert "encoder_vision dexa" in capsys.readouterr().out
    assert not (project / "data/08_reporting/demo/encoder_text").exists()

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("vixml").experiment_id])
    tags = {run.info.run_name: run.data.tags for run in runs}
    assert set(names) < set(tags)
    assert tags["encoder_vision dexa"]["objective"] == "dexa"
    parent = next(run.info.run_id for run in runs if run.info.run_name == "ablation")
    assert all(tags[name]["mlflow.parentRunId"] == parent for name in names)
