"""Positives and the target of the pool: by inverse propensity, in their row, equal to the slow definition."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import batches as batches_oracle

from vixml.negatives.sampling import PositiveSampler, pool_target, pool_values


def _relevance(seed: int = 0) -> sp.csr_matrix:
    matrix = sp.random(40, 25, density=0.15, format="csr", random_state=seed, dtype=np.float32)
    matrix.data[:] = 1
    matrix = sp.csr_matrix(matrix + sp.eye(40, 25, dtype=np.float32, format="csr"))
    matrix.data[:] = 1
    matrix.sort_indices()
    return matrix


def test_positives_follow_the_inverse_propensity() -> None:
    """Labels of a query are drawn in proportion to their weights, and only its own."""
    relevance, weights = _relevance(), np.random.default_rng(0).random(25) + 0.1
    sampler = PositiveSampler(relevance, weights)
    labels = relevance[3].indices
    drawn = sampler.draw(np.full(20_000, 3), np.random.default_rng(1))
    assert set(drawn) <= set(labels)
    expected = weights[labels] / weights[labels].sum()
    np.testing.assert_allclose([(drawn == label).mean() for label in labels], expected, atol=0.02)


def test_positives_follow_their_relevance() -> None:
    """Where relevance is graded a pair is drawn in proportion to it too; a factor common to a query changes nothing."""
    relevance, weights = _relevance(), np.random.default_rng(0).random(25) + 0.1
    graded = relevance.copy()
    graded.data = np.random.default_rng(2).choice(np.array([0.1, 1.0, 5.0], dtype=np.float32), graded.nnz)
    pairs, labels = graded[3].data, graded[3].indices
    drawn = PositiveSampler(graded, weights).draw(np.full(20_000, 3), np.random.default_rng(1))
    expected = weights[labels] * pairs / (weights[labels] * pairs).sum()
    np.testing.assert_allclose([(drawn == label).mean() for label in labels], expected, atol=0.02)


def test_draws_stay_in_their_row() -> None:
    """Whatever the row, the drawn label is one of its own."""
    relevance = _relevance(4)
    rows = np.flatnonzero(np.diff(relevance.indptr)).repeat(50)
    drawn = PositiveSampler(relevance, np.ones(25)).draw(rows, np.random.default_rng(0))
    assert relevance[rows, drawn].all()


def test_pool_target_equals_dense_slice() -> None:
    """The target is the dense relevance at (rows, pool)."""
    relevance = _relevance(2)
    rng = np.random.default_rng(0)
    rows, pool = rng.permutation(40)[:10], np.unique(rng.integers(0, 25, 9))
    np.testing.assert_array_equal(pool_target(relevance, rows, pool), relevance.toarray()[rows][:, pool] > 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pool_target_equals_its_oracle(seed: int) -> None:
    """The target of random matrices, with any pool, equals the slow one."""
    rng = np.random.default_rng(seed)
    relevance = sp.random(30, 20, density=0.2, format="csr", random_state=seed % 1000, dtype=np.float32)
    rows, pool = rng.integers(0, 30, 8), np.unique(rng.integers(0, 20, 6))
    np.testing.assert_array_equal(pool_target(relevance, rows, pool), batches_oracle.pool_target(relevance, rows, pool))


def test_values_in_the_pool_equal_dense_slice() -> None:
    values = sp.random(40, 30, density=0.2, format="csr", random_state=3, dtype=np.float32)
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, pool = rng.integers(0, 40, 9), np.sort(rng.choice(30, 7, replace=False))
        np.testing.assert_array_equal(pool_values(values, rows, pool), values.toarray()[rows][:, pool])


def test_a_query_without_labels_draws_none() -> None:
    relevance = sp.csr_matrix(np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=np.float32))
    sampler = PositiveSampler(relevance, np.ones(3))
    rows = np.array([1, 0, 1, 2, 2])
    assert sampler.draw(rows, np.random.default_rng(0)).tolist() == [1, 0, 0]
    assert sampler.draw(np.array([1]), np.random.default_rng(0)).tolist() == []
