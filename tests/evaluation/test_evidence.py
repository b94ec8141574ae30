"""The stage that fits a ranking with all evidence, and the evaluation of what it fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.worlds import EVALUATION, FACTS, make_dataset, make_world, published

from vixml.calibration.calibration import NO_VALIDATION
from vixml.core.directories import Built, WorkDirectory, publish
from vixml.evaluation import stages
from vixml.evaluation.evidence import gather_evidence
from vixml.params.variant import VariantParams

QUICK = {
    "classifier": {"sketch_dim": 64},
    "spaces": {"weights": [0.0, 1.0], "rounds": 1},
    "blend": {"weights": [0.0, 0.5, 1.0], "sharpness": [1.0], "tails": [0.0], "rounds": 1},
}


def _items(relevance):
    return pd.DataFrame(
        {"text": [f"thing {label}" for label in relevance.indices], "images": [[]] * relevance.shape[0]}
    )


def _run(folder, mode, *, validation=True):
    world = make_world()
    sides = world[0]
    retrieval = {"augmentation": {"mode": mode, "evidence": QUICK}, "calibration": {"min_pairs": 20}}
    params = VariantParams.model_validate({"retrieval": retrieval, "training": {"device": "cpu"}})
    embeddings = published(world, folder)
    index = publish(stages.index_labels(embeddings, params.retrieval, WorkDirectory(folder / "w")), folder / "index")
    (folder / "m").mkdir()
    model = publish(Built(folder / "m", "model", dict.fromkeys(FACTS, 1)), folder / "model")
    relevance = {name: side[1] for name, side in sides.items()}
    if not validation:
        relevance["validation"] = relevance["validation"][:0]
    dataset = make_dataset(folder, relevance, {name: _items(matrix) for name, matrix in relevance.items()})
    built = gather_evidence(
        params, EVALUATION, dataset, embeddings=embeddings, index=index, work=WorkDirectory(folder / "w")
    )
    evidence = publish(built, folder / "evidence")
    document, predictions = stages.evaluate_variant(
        params,
        EVALUATION,
        name="toy",
        dataset=dataset,
        model=model,
        embeddings=embeddings,
        index=index,
        evidence=evidence,
        work=WorkDirectory(folder / "w"),
    )
    return evidence, document, predictions


@pytest.mark.parametrize("validation", [True, False])
def test_all_evidence_is_better_than_poor_prototypes(tmp_path, validation):
    evidence, document, predictions = _run(tmp_path, "evidence", validation=validation)
    assert document["ranking"] == "evidence"
    assert document["metrics"]["P@1"] > document["metrics_plain"]["P@1"] + 0.03
    assert np.load(predictions.path / "labels.npy").shape == (60, 10)
    report = evidence.meta["report"]
    assert report["queries"] == (60 if validation else 12)
    assert ("prototypes" in report["parts"]) == validation
    _check_probabilities(document, predictions, validation=validation)


def _check_probabilities(document, predictions, *, validation):
    found = document["probabilities"]
    if not validation:
        assert found == {"absent": NO_VALIDATION}
        assert not (predictions.path / "probabilities.npy").exists()
        return
    probabilities = np.load(predictions.path / "probabilities.npy")
    assert probabilities.shape == (60, 10)
    assert np.nanmax(probabilities) <= 1
    assert found["errors"]["@1"]["equal_width"] < 0.3
    assert sum(count for _, _, count in found["reliability"]["all"]) == np.isfinite(probabilities).sum()


@pytest.mark.parametrize("mode", ["none", "split"])
@pytest.mark.parametrize("validation", [True, False])
def test_other_rankings_need_no_evidence_but_get_probabilities(tmp_path, mode, validation):
    evidence, document, predictions = _run(tmp_path, mode, validation=validation)
    assert evidence.meta["mode"] == document["ranking"] == mode
    assert set(evidence.files) == {"settings.json", "calibration.json"}
    _check_probabilities(document, predictions, validation=validation)
