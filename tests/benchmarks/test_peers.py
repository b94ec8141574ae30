"""What a peer is given, and how its ranking is measured: as ViXML's own."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from benchmarks.peers.environments import NEEDS
from benchmarks.peers.exchange import KS, measure, without, write_inputs

from vixml.core.directories import WorkDirectory, publish
from vixml.data.dataset import Dataset, build_dataset
from vixml.data.matrix import read_matrix
from vixml.metrics.propensity import label_weights
from vixml.metrics.ranking import ranking_metrics
from vixml.params.evaluation import EvaluationParams

SIZES = {"train": 30, "validation": 6, "test": 12}


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"items_label": pd.DataFrame({"uid": list("abcdefgh"), "text": list("ABCDEFGH"), "images": [[]] * 8})}
    for side, count in SIZES.items():
        texts = [f"{side} {row}\nline" for row in range(count)]
        parts[f"items_{side}"] = pd.DataFrame({"uid": texts, "text": texts, "images": [[]] * count})
        parts[f"relevance_{side}"] = sp.csr_matrix((rng.random((count, 8)) < 0.3).astype(np.float32))
        parts[f"filter_{side}"] = sp.csr_matrix((rng.random((count, 8)) < 0.2).astype(np.float32))
    return Dataset(publish(build_dataset(parts, WorkDirectory(tmp_path / "w")), tmp_path / "dataset"))


def test_a_peer_learns_from_training_and_validation_queries(dataset, tmp_path):
    write_inputs(dataset, tmp_path / "peer", {"seed": 7})
    texts = json.loads((tmp_path / "peer/train.json").read_text(encoding="utf-8"))
    assert texts == [*dataset.items("train")["text"], *dataset.items("validation")["text"]]
    labels = read_matrix(tmp_path / "peer/train.npz").toarray()
    parts = [dataset.relevance(side).toarray() for side in ("train", "validation")]
    np.testing.assert_array_equal(labels, np.vstack(parts))
    settings = json.loads((tmp_path / "peer/settings.json").read_text(encoding="utf-8"))
    assert settings == {"seed": 7, "depth": 8}, "there are no more labels"


def test_a_perfect_ranking_of_a_peer_is_measured_as_one(dataset, tmp_path):
    """Excluded pairs are passed over, and the metrics are those of the project."""
    write_inputs(dataset, tmp_path, {})
    rng = np.random.default_rng(1)
    top = np.argsort(-(dataset.relevance("test").toarray() + 0.1 * rng.random((12, 8))), axis=1)
    np.save(tmp_path / "top.npy", top)
    (tmp_path / "facts.json").write_text('{"training_seconds": 3, "ranking_seconds": 1}', encoding="utf-8")
    found = measure(dataset, tmp_path)
    allowed = [[one for one in row if not dataset.filter("test")[at, one]] for at, row in enumerate(top)]
    expected = np.full((12, 8), -1)
    for at, row in enumerate(allowed):
        expected[at, : len(row)] = row
    np.testing.assert_array_equal(without(top, dataset.filter("test")), expected)
    weights = label_weights(dataset.relevance("train"), EvaluationParams())
    assert found["metrics"] == ranking_metrics(expected, dataset.relevance("test"), weights, KS)
    assert found["training_seconds"] == 3


def test_every_peer_has_a_script(repository):
    assert all((repository / "benchmarks/peers" / f"{peer}.py").is_file() for peer in NEEDS)
