"""The label tree's answers: against a plain walk, the beam, other labels, and a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from tests.classifier.test_train_tree import topics

from vixml.classifier import label_tree
from vixml.classifier.label_tree import LabelTree
from vixml.classifier.train_tree import train_tree
from vixml.core.errors import StateError
from vixml.params.classifier import TreeParams


def _tree(beam: int = 20, labels: int = 24) -> tuple[LabelTree, sp.csr_matrix, sp.csr_matrix]:
    features, relevance = topics(labels=labels)
    return train_tree(features, relevance, TreeParams(leaf_size=3, branching=2, beam=beam)), features, relevance


def _walk(tree: LabelTree, features: sp.csr_matrix) -> np.ndarray:
    """Return the product of all scores on a label's path [n, m], node by node."""
    scores = np.zeros((features.shape[0], len(tree.labels)))
    dense = features.toarray().astype(np.float64)
    for label in range(len(tree.labels)):
        node, product = label, np.ones(len(dense))
        for level in reversed(tree.levels):
            near = dense @ level.weights[:, [node]].toarray()[:, 0] + level.bias[node]
            product *= np.exp(-(np.maximum(0, 1 - near) ** 3))
            node = level.parents[node]
        scores[:, label] = product
    return scores


def test_scores_are_products_along_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, features, relevance = _tree()
    scores, labels = tree.search(features[:50], 24)
    np.testing.assert_allclose(scores, np.take_along_axis(_walk(tree, features[:50]), labels, axis=1), rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (labels[:, 0] == relevance[:50].indices).mean() > 0.95
    monkeypatch.setattr(label_tree, "_CELLS", 7 * 24)
    again = tree.search(features[:50], 24)
    np.testing.assert_array_equal(again[1], labels)


def test_a_narrow_beam_keeps_the_best_and_leaves_the_rest_out() -> None:
    wide, features, _ = _tree()
    narrow = LabelTree(wide.levels, wide.labels, beam=2)
    scores, labels = narrow.search(features, 24)
    assert ((labels >= 0).sum(axis=1) <= 6).all(), "two clusters of three labels"
    assert (labels[:, 0] == wide.search(features, 1)[1][:, 0]).mean() > 0.95
    assert np.isneginf(scores[labels < 0]).all()


def test_some_labels_keep_their_scores_and_new_ones_have_none() -> None:
    tree, features, _ = _tree()
    rows = np.array([7, 3, 20])
    scores, labels = tree.among(rows).search(features, 3)
    every = _walk(tree, features)[:, rows]
    np.testing.assert_allclose(scores, np.take_along_axis(every, labels, axis=1), rtol=1e-4)
    assert len(tree.among(np.array([], dtype=np.int64)).labels) == 0


def test_a_tree_comes_back_from_a_folder(tmp_path: Path) -> None:
    tree, features, _ = _tree()
    tree.save(tmp_path)
    again = LabelTree.open(tmp_path, width=features.shape[1], num_labels=24)
    for found, expected in zip(again.search(features, 5), tree.search(features, 5), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(StateError):
        LabelTree.open(tmp_path, width=features.shape[1] + 1, num_labels=24)
    with pytest.raises(StateError):
        LabelTree.open(tmp_path, width=features.shape[1], num_labels=23)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.array([0.5])},
        {"labels": np.arange(3)},
        {"parents_0": np.array([0, 9])},
        {"bias_1": np.full(4, np.nan, dtype=np.float32)},
        {"bias_2": np.zeros((8, 1), dtype=np.float32)},
        {"beam": np.array(0)},
        {"bias_4": np.zeros(1, dtype=np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_damaged_tree_is_named(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    tree, features, _ = _tree()
    tree.save(tmp_path)
    with np.load(tmp_path / "tree.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "tree.npz", **(arrays | change))
    with pytest.raises(StateError, match=r"tree\.npz"):
        LabelTree.open(tmp_path, width=features.shape[1], num_labels=24)
