"""A student learns from a teacher through Kedro, and what comes after it knows."""

from __future__ import annotations

import json

import pytest

from vixml.core.directories import open_sealed

pytestmark = pytest.mark.e2e


def test_a_text_encoder_learns_from_all_evidence(kedro_run, ingested, tiny, capsys):
    evidence = {
        "spaces": {"rounds": 1},
        "blend": {"weights": [0.0, 1.0], "sharpness": [1.0], "tails": [0.0], "rounds": 1},
    }
    teacher = {"folds": 2, "evidence": evidence, "calibration": {"min_pairs": 10}}
    params = {**tiny, "distillation": teacher}
    kedro_run("teaching", "distillation", params=params)
    data = ingested / "data"
    soft = open_sealed(data / "05_model_input/demo/soft_labels", kind="soft-labels")
    assert soft.meta["queries"] == 108
    model = open_sealed(data / "06_models/demo/encoder_text/model", kind="model")
    assert model.meta["teacher"] == "evidence"
    capsys.readouterr()
    kedro_run("teaching", "distillation", params=params, only_missing_outputs=True)
    assert "encoder_text.train" not in capsys.readouterr().out, "nothing has changed, so nothing runs again"
    kedro_run("evaluation", params=params, namespaces=["encoder_text"])
    metrics = json.loads((data / "08_reporting/demo/encoder_text/metrics.json").read_text(encoding="utf-8"))
    assert metrics["teacher"] == "evidence"
    kedro_run("encoder_text", params=params)
    alone = open_sealed(data / "06_models/demo/encoder_text/model", kind="model")
    assert alone.meta["teacher"] is None
    assert alone.fingerprint != model.fingerprint
