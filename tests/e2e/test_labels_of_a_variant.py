"""The labels of a trained variant through Kedro: indexes compared, labels changed, predictions with the new ones."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from mlflow import MlflowClient

from vixml.core.directories import open_sealed

pytestmark = pytest.mark.e2e


def test_training_pairs_are_audited_and_corrected(kedro_run, trained, tiny):
    """Pairs that a person ticks in the table are among the training pairs of the next ingestion."""
    project = trained
    reports = project / "data/08_reporting/demo"
    evidence = {
        "spaces": {"rounds": 1},
        "blend": {"weights": [0.0, 1.0], "sharpness": [1.0], "tails": [0.0], "rounds": 1},
    }
    audit = {"folds": 2, "proposals": 20, "min_support": 1, "evidence": evidence, "calibration": {"min_pairs": 10}}
    kedro_run("label_audit", params={**tiny, "label_audit": audit})
    report = json.loads((reports / "label_audit_report.json").read_text(encoding="utf-8"))
    assert report["mined_negatives"] == {}, "by default no batch draws from mined labels"
    assert "<img" in (reports / "label_audit.html").read_text(encoding="utf-8")
    table = pd.read_csv(reports / "label_audit_table.csv", dtype=str, keep_default_na=False)
    assert (table["proposal"] == "missing").sum() == 20
    table["accept"] = ["x" if row < 3 else "" for row in range(len(table))]
    table.to_csv(project / "ticked.csv", index=False, sep=";")
    before = json.loads((reports / "data_report.json").read_text(encoding="utf-8"))["labels_per_point"]["train"]
    data = {**tiny.get("data", {}), "corrections": "ticked.csv"}
    kedro_run("ingestion", params={**tiny, "data": data})
    found = json.loads((reports / "data_report.json").read_text(encoding="utf-8"))
    assert found["labels_per_point"]["train"]["mean"] > before["mean"]
    assert next(one for one in found["ledger"]["files"] if one["file"] == "ticked.csv")["taken"] == 3


def test_index_report_and_label_update(kedro_run, trained, tiny):
    project = trained
    models, reports = project / "data/06_models/demo/encoder_text", project / "data/08_reporting/demo/encoder_text"

    indexes = {"ks": [1, 10], "candidates": [{"kind": "exact"}, {"kind": "faiss-flat"}]}
    kedro_run("index_report", params={**tiny, "index_report": indexes}, namespaces=["encoder_text"])
    rows = json.loads((reports / "index_report.json").read_text(encoding="utf-8"))["indexes"]
    assert len(rows) == len(pd.read_csv(reports / "index_table.csv")) == 2
    assert [row["recall@10"] for row in rows] == pytest.approx([1, 1])

    before = open_sealed(models / "predictor", kind="predictor")
    labels = pd.read_parquet(before.path / "labels.parquet")["uid"].tolist()
    (project / "new.csv").write_text("id;text\n007;größerer Tisch\n", encoding="cp1252")
    (project / "gone.csv").write_text(f"id\n{labels[3]}\n", encoding="utf-8")
    update = {"add": "new.csv", "remove": "gone.csv"}
    kedro_run("label_update", params={**tiny, "label_update": update}, namespaces=["encoder_text"])
    updated = open_sealed(models / "updated_predictor", kind="predictor")
    updated.verify()
    before.verify()
    report = json.loads((reports / "label_update_report.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in report.pop("ledger")["files"]} == {"new.csv", "gone.csv"}
    assert report == {"added": 1, "updated": 0, "removed": 1, "labels_before": len(labels), "labels": len(labels)}

    prediction = {"queries": "new.csv", "model": str(updated.path), "k": len(labels), "format": "csv"}
    kedro_run("prediction", params={**tiny, "prediction": prediction})
    found = pd.read_csv(project / "data/07_model_output/demo/prediction/predictions.csv", dtype=str)
    assert sorted(found["label_id"]) == sorted({*labels, "007"} - {labels[3]})
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_runs(experiments) == [], "nothing was trained: a run of it would look like a training"
    assert found.set_index("label_id")["label_text"]["007"] == "größerer Tisch"
