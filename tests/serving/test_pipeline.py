"""`kedro run --pipeline=prediction` over a published predictor."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from vixml.claims.claim import FOLDER, claim
from vixml.core.directories import open_sealed
from vixml.core.errors import ConfigError, DataError, StateError


@pytest.fixture
def shop(project, models):
    """A project with a predictor of encoder_vision, and a file of queries."""
    shutil.copytree(models / "encoder_vision", project / "data/06_models/demo/encoder_vision")
    pd.DataFrame({"id": ["007", "008"], "text": ["red vase", "blue shoe"]}).to_csv(project / "new.csv", index=False)
    return project


def test_prediction(kedro_run, shop, predictor):
    kedro_run("prediction", params={"prediction": {"queries": "new.csv", "k": 3, "format": "csv"}})
    sealed = open_sealed(shop / "data/07_model_output/demo/prediction", kind="prediction")
    found = pd.read_csv(sealed.path / "predictions.csv", dtype={"query_id": str})
    expected = predictor.predict(["red vase", "blue shoe"], k=3)
    assert found["query_id"].tolist() == ["007"] * 3 + ["008"] * 3
    assert found["label_id"].tolist() == [uid for one in expected for uid in one.label_ids]
    assert found["score"].tolist() == pytest.approx([score for one in expected for score in one.scores], abs=1e-5)
    report = json.loads((shop / "data/08_reporting/demo/prediction_report.json").read_text(encoding="utf-8"))
    assert (report["queries"], report["predictions"], report["model"]) == (2, 6, "encoder_vision")
    assert not list((shop / "data/02_intermediate/demo/prediction_work").rglob("parts-*"))


def test_runs_of_names_of_their_own_share_nothing(kedro_run, shop):
    results, reports = shop / "data/07_model_output/demo", shop / "data/08_reporting/demo"
    kedro_run("prediction", params={"prediction": {"queries": "new.csv", "k": 2, "name": "evening"}})
    assert (results / "prediction-evening" / "predictions.parquet").is_file()
    assert (reports / "prediction-evening_report.json").is_file()
    assert not (results / "prediction").exists()
    writes = {str(results / "prediction"): "prediction", str(reports / "prediction_report.json"): "prediction_report"}
    first = claim(shop / "data/02_intermediate/demo" / FOLDER, writes, "kedro run")
    kedro_run("prediction", params={"prediction": {"queries": "new.csv", "k": 2, "name": "morning"}})
    with pytest.raises(StateError, match="another run is writing prediction"):
        kedro_run("prediction", params={"prediction": {"queries": "new.csv", "k": 2}})
    first.release()


def test_mistakes_stop_it(kedro_run, shop):
    with pytest.raises(ConfigError, match=r"prediction.queries=FILE"):
        kedro_run("prediction")
    with pytest.raises(StateError, match=r"no predictor of decoder_text yet.*kedro run --pipelines=decoder_text"):
        kedro_run("prediction", params={"prediction": {"queries": "new.csv", "model": "decoder_text"}})
    with pytest.raises(DataError, match=r"old.csv: the file is missing"):
        kedro_run("prediction", params={"prediction": {"queries": "old.csv"}})
