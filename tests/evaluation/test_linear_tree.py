"""The linear tree as a baseline: it learns which words tell a label, and leaves excluded pairs out."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.evaluation.linear_tree import linear_tree_labels

COLOURS = ("red", "green", "blue", "black")


def _texts(num: int, seed: int) -> tuple[list[str], sp.csr_matrix]:
    generator = np.random.default_rng(seed)
    colour = generator.integers(0, 4, num)
    texts = [f"{COLOURS[row]} thing number {generator.integers(50)}" for row in colour]
    return texts, sp.csr_matrix(np.eye(4, dtype=np.float32)[colour])


def test_it_ranks_the_label_of_the_telling_word_first() -> None:
    train, relevance = _texts(200, 0)
    test, truth = _texts(40, 1)
    nothing = sp.csr_matrix(truth.shape, dtype=np.float32)
    top = linear_tree_labels(train, test, relevance=relevance, exclude=nothing, depth=3)
    assert top.shape == (40, 3)
    assert (top[:, 0] == truth.indices).mean() > 0.95
    without = linear_tree_labels(train, test, relevance=relevance, exclude=truth, depth=3)
    assert not (without == truth.indices[:, None]).any()
    np.testing.assert_array_equal(np.sort(without[0])[-3:], np.setdiff1d(np.arange(4), truth.indices[0]))


def test_texts_without_a_word_have_no_answer() -> None:
    relevance = sp.csr_matrix(np.eye(2, dtype=np.float32))
    exclude = sp.csr_matrix((1, 2), dtype=np.float32)
    assert (linear_tree_labels(["?", ""], ["?"], relevance=relevance, exclude=exclude, depth=2) == -1).all()
