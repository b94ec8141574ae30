"""Held-out labels added to a model, measured beside a model that knows them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from benchmarks.held_out_labels import WAYS, ColdStartData, cold_start_report

from vixml.core.directories import WorkDirectory, publish
from vixml.core.errors import DataError
from vixml.params.evaluation import EvaluationParams
from vixml.params.retrieval import LabelUpdateParams
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels

HELD = ["L001", "L004", "L040"]


@pytest.fixture(scope="module")
def pair(models, root, tmp_path_factory):
    """A model, the same one without three labels, and those as labels to add."""
    full = PredictorBundle.open(models / "encoder_vision")
    folder = tmp_path_factory.mktemp("cold")
    built, _ = update_labels(full, LabelChanges(removed=HELD), LabelUpdateParams(), WorkDirectory(folder / "work"))
    reduced = PredictorBundle(publish(built, folder / "reduced"), full.settings)
    labels = full.labels.set_index("uid")
    added = {uid: (labels.loc[uid, "text"], list(labels.loc[uid, "images"])) for uid in HELD}
    return full, reduced, LabelChanges(added=added, image_root=root)


def data(full):
    """Every label's prototype is a query of its own: the model that knows a label finds it first."""
    truth = sp.csr_matrix(np.eye(48, dtype=np.float32))
    return ColdStartData(truth, truth, sp.csr_matrix((48, 48), dtype=np.float32), EvaluationParams(ks=(1, 5), top_k=5))


def test_every_way_is_measured_on_the_same_pairs(pair):
    full, reduced, held = pair
    queries = np.array(full.label_prototypes)
    rows = cold_start_report(full, queries, reduced, queries, held, data(full))
    assert len(rows) == 1 + len(WAYS) + 1
    assert rows[0]["labels"] == "trained on"
    assert rows[0]["cold/R@1"] == rows[0]["trained/R@1"] == rows[0]["all/R@1"] == 1.0
    assert all(row["trained/R@5"] == 1.0 for row in rows), "the kept labels stay where they were"
    assert all(0 <= row["cold/R@1"] <= row["cold/R@5"] <= 1 for row in rows)


def test_recall_counts_cold_pairs_only(pair):
    """Labels that lie nowhere are never found, and the others are not touched by that."""
    full = pair[0]
    prototypes = np.array(full.label_prototypes)
    cold = np.isin(full.labels["uid"], HELD)
    prototypes[cold] = -prototypes.mean(axis=0)
    result = data(full).measure(np.array(full.label_prototypes), prototypes, cold)
    assert result["cold/R@5"] == 0.0
    assert result["trained/R@1"] == 1.0
    assert result["all/R@1"] == pytest.approx(45 / 48)


def test_models_of_other_labels_are_refused(pair):
    full, reduced, _ = pair
    queries = np.array(full.label_prototypes)
    with pytest.raises(DataError, match="do not share"):
        cold_start_report(full, queries, reduced, queries, LabelChanges(added={"x": ("y", [])}), data(full))
