"""Training of the label tree: each node against scikit-learn by hand, shape of the tree, labels without queries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.svm import LinearSVC

from vixml.classifier.train_tree import train_tree
from vixml.params.classifier import TreeParams


def topics(num: int = 400, labels: int = 24, seed: int = 0, noise: int = 3) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return unit rows in which each label has a word of its own, each four labels share one, and some are noise."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, labels, num)
    terms = np.zeros((num, labels + labels // 4 + 20), dtype=np.float32)
    terms[np.arange(num), truth] = 1
    terms[np.arange(num), labels + truth // 4] = 1
    for _ in range(noise):
        terms[np.arange(num), labels + labels // 4 + generator.integers(0, 20, num)] += 1
    terms /= np.linalg.norm(terms, axis=1, keepdims=True)
    return sp.csr_matrix(terms), sp.csr_matrix(np.eye(labels, dtype=np.float32)[truth])


def test_every_level_divides_the_one_above() -> None:
    features, relevance = topics()
    tree = train_tree(features, relevance, TreeParams(leaf_size=3, branching=2))
    assert [len(level) for level in tree.levels] == [2, 4, 8, 24]
    for above, level in zip(tree.levels, tree.levels[1:], strict=False):
        assert set(level.parents) == set(range(len(above)))
        children = np.bincount(level.parents)
        assert children.max() - children.min() <= 1, "balanced"
    np.testing.assert_array_equal(tree.labels, np.arange(24))
    shallow = train_tree(features, relevance, TreeParams(leaf_size=3, branching=16))
    assert [len(level) for level in shallow.levels] == [8, 24]
    flat = train_tree(features, relevance, TreeParams(leaf_size=64))
    assert [len(level) for level in flat.levels] == [24]


def test_a_node_is_trained_on_the_queries_of_its_parent() -> None:
    features, relevance = topics()
    params = TreeParams(leaf_size=6, branching=4, threshold=0.0, passes=500)
    tree = train_tree(features, relevance, params)
    level, positive = tree.levels[-1], relevance.toarray() > 0
    for label in (0, 13):
        family = np.flatnonzero(level.parents == level.parents[label])
        rows = np.flatnonzero(positive[:, family].any(axis=1))
        machine = LinearSVC(C=params.cost, dual=True, max_iter=2000, tol=1e-5, random_state=0)
        machine.fit(features[rows].astype(np.float64), positive[rows, label])
        expected = features @ machine.coef_[0] + machine.intercept_[0]
        found = (features @ level.weights[:, label]).toarray().ravel() + level.bias[label]
        np.testing.assert_allclose(found[rows], expected[rows], atol=0.2)
        assert np.corrcoef(found[rows], expected[rows])[0, 1] > 0.995


def test_similar_labels_share_a_cluster() -> None:
    features, relevance = topics(labels=32, noise=0)
    tree = train_tree(features, relevance, TreeParams(leaf_size=4, branching=2))
    together = [len(set(tree.levels[-1].parents[group : group + 4])) == 1 for group in range(0, 32, 4)]
    assert np.mean(together) >= 0.5


def test_labels_without_a_query_have_no_node_and_relevance_need_not_be_one() -> None:
    features, relevance = topics()
    relevance = sp.csr_matrix(relevance.multiply(np.arange(24) % 5 > 0)) * 0.3
    tree = train_tree(features, sp.csr_matrix(relevance), TreeParams(leaf_size=4))
    np.testing.assert_array_equal(tree.labels, np.flatnonzero(np.arange(24) % 5))
    _, found = tree.search(features, 24)
    assert not set(np.unique(found)) & {0, 5, 10, 15, 20}
    nothing = train_tree(features, sp.csr_matrix(relevance.shape), TreeParams())
    scores, found = nothing.search(features, 3)
    assert (found == -1).all()
    assert np.isneginf(scores).all()


def test_an_only_child_has_the_score_of_its_parent() -> None:
    features, _ = topics(labels=4)
    same = sp.csr_matrix(np.ones((400, 1), dtype=np.float32))
    tree = train_tree(features, same, TreeParams())
    scores, found = tree.search(features[:3], 1)
    assert (found == 0).all()
    np.testing.assert_allclose(scores, 1)


def test_the_same_seed_gives_the_same_tree() -> None:
    features, relevance = topics()
    one, two = (train_tree(features, relevance, TreeParams(leaf_size=4), seed=1) for _ in range(2))
    for left, right in zip(one.levels, two.levels, strict=True):
        np.testing.assert_array_equal(left.weights.toarray(), right.weights.toarray())
        np.testing.assert_array_equal(left.parents, right.parents)


@pytest.mark.parametrize("threshold", [0.05, 0.3])
def test_small_weights_are_left_out(threshold: float) -> None:
    features, relevance = topics()
    tree = train_tree(features, relevance, TreeParams(threshold=threshold))
    assert np.abs(tree.levels[-1].weights.data).min() >= threshold
