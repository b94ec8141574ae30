"""A ranking with all evidence, of a trained variant: the predictor gives the scores of the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vixml import Predictor
from vixml.core.directories import open_sealed
from vixml.data.dataset import Dataset


@pytest.mark.e2e
def test_predictions_have_the_scores_of_the_evaluation(kedro_run, tiny, trained: Path) -> None:
    family = {**tiny["encoder"], "retrieval": {"augmentation": {"mode": "evidence"}}}
    project = trained
    kedro_run("evaluation", namespaces=["encoder_vision"], params={**tiny, "encoder": family})
    folder = next(project.glob("data/07_model_output/*/encoder_vision"))
    store = folder.parent.name
    report = (folder / "evidence" / "manifest.json").read_text(encoding="utf-8")
    assert '"neighbours_images"' in report
    labels, scores = (np.load(folder / "predictions" / f"{name}.npy") for name in ("labels", "scores"))
    items = pd.read_parquet(next((project / "data" / "03_primary" / store).rglob("items_test.parquet")))
    predictor = Predictor.open(project / "data" / "06_models" / store / "encoder_vision", device="cpu")
    raw = project / "data" / "01_raw" / store
    images = [[raw / name for name in names] for names in items["images"]]
    pairs = Dataset(open_sealed(project / "data" / "03_primary" / store / "dataset")).filter("test")
    rows = np.append(np.flatnonzero(np.diff(pairs.indptr) == 0)[:10], np.flatnonzero(np.diff(pairs.indptr))[:10])
    texts = items["text"].tolist()
    answers = predictor.predict([texts[row] for row in rows], images=[images[row] for row in rows], k=5)
    for query, answer in zip(rows, answers, strict=True):
        expected = {int(row): float(score) for row, score in zip(labels[query], scores[query], strict=True) if row >= 0}
        excluded = set(pairs[query].indices)
        for row, score in zip(answer.rows, answer.scores, strict=True):
            assert row in excluded or score == pytest.approx(expected[row], rel=1e-3)
