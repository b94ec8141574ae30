"""Ranking metrics: golden values, the row-by-row oracle, and what happens at the edges."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from vixml.core.errors import ConfigError, DataError
from vixml.metrics.ranking import METRIC_NAMES, query_metrics, ranking_metrics

_SPEC = importlib.util.spec_from_file_location("oracle_metrics", Path(__file__).parents[1] / "oracles" / "metrics.py")
oracle = importlib.util.module_from_spec(_SPEC)
sys.modules["oracle_metrics"] = oracle
_SPEC.loader.exec_module(oracle)

GOLDEN_NAMES = {
    "P": "precision",
    "R": "recall",
    "Hit": "hit",
    "nDCG": "ndcg",
    "MRR": "mrr",
    "PSP": "psp",
    "PSnDCG": "psndcg",
}


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "metrics.npz", allow_pickle=False) as file:
        return dict(file)


def _matrix(golden: dict[str, np.ndarray], name: str) -> sparse.csr_matrix:
    parts = (golden[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(tuple(parts), shape=tuple(golden[f"{name}_shape"]))


def _sorted_labels(predictions: sparse.csr_matrix, removed: set[tuple[int, int]]) -> np.ndarray:
    lists = []
    for row in range(predictions.shape[0]):
        entry = predictions[row]
        ranked = entry.indices[np.argsort(-entry.data, kind="stable")]
        lists.append([label for label in ranked if (row, label) not in removed][:20])
    return np.array(lists, dtype=np.int64)


@pytest.mark.parametrize("case", ["plain", "filtered"])
def test_metrics_match_golden(golden: dict[str, np.ndarray], case: str) -> None:
    removed = set(map(tuple, golden["filter_pairs"].tolist())) if case == "filtered" else set()
    top = _sorted_labels(_matrix(golden, "pred"), removed)
    result = ranking_metrics(top, _matrix(golden, "test"), golden["inv_propensity"], range(1, 11))
    for name, key in GOLDEN_NAMES.items():
        computed = [result[f"{name}@{k}"] for k in range(1, 11)]
        np.testing.assert_allclose(computed, golden[f"{case}_{key}"], rtol=1e-5, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(1, 9), st.booleans(), st.integers(0, 2**32 - 1))
def test_metrics_equal_the_oracle(num_queries: int, num_labels: int, depth: int, graded: bool, seed: int) -> None:
    """Any predictions and truth, plain or graded: every metric at every depth is the one of its definition."""
    generator = np.random.default_rng(seed)
    dense = generator.random((num_queries, num_labels)) < generator.random((num_queries, 1))
    top = np.full((num_queries, depth), -1, dtype=np.int64)
    for row in top:
        count = min(depth, generator.integers(0, num_labels + 1))
        row[:count] = generator.permutation(num_labels)[:count]
    relevance = sparse.csr_matrix(dense.astype(np.float32))
    if graded:
        relevance.data = generator.choice(np.array([0.25, 0.5, 1.0, 3.0], dtype=np.float32), relevance.nnz)
    weights = generator.random(num_labels) + 1.0
    ks = (1, 2, 5, 11)
    computed = ranking_metrics(top, relevance, weights, ks)
    expected = oracle.ranking_metrics(top, relevance, weights, ks)
    assert computed.keys() == expected.keys() == {f"{name}@{k}" for name in METRIC_NAMES for k in ks}
    for name, value in expected.items():
        assert computed[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_mean_over_a_subset_equals_metrics_of_the_subset() -> None:
    generator = np.random.default_rng(0)
    relevance = sparse.csr_matrix((generator.random((40, 30)) < 0.2).astype(np.float32))
    top = np.array([generator.permutation(30)[:10] for _ in range(40)])
    weights = generator.random(30) + 1.0
    chosen = np.flatnonzero(generator.random(40) < 0.5)
    part = query_metrics(top, relevance, weights, (1, 5)).mean(chosen)
    assert part == pytest.approx(ranking_metrics(top[chosen], relevance[chosen], weights, (1, 5)))


def test_explicit_zeros_and_unsorted_rows_are_understood() -> None:
    relevance = sparse.csr_matrix((np.array([1.0, 0.0, 1.0]), np.array([3, 1, 0]), np.array([0, 3])), shape=(1, 4))
    result = ranking_metrics(np.array([[1, 0, 3]]), relevance, np.ones(4), (1, 3))
    assert (result["P@1"], result["P@3"], result["R@3"]) == (0.0, pytest.approx(2 / 3), 1.0)


def test_queries_without_labels_count_as_zero_and_no_queries_give_zero() -> None:
    relevance = sparse.csr_matrix(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert ranking_metrics(np.array([[0], [1]]), relevance, np.ones(2), (1,))["P@1"] == 0.5
    empty = ranking_metrics(np.zeros((0, 5), dtype=np.int64), relevance[:0], np.ones(2), (1,))
    assert set(empty.values()) == {0.0}


@pytest.mark.parametrize(
    ("top", "weights", "ks", "error"),
    [
        ([[0, 2]], 2, (1,), DataError),  # label 2 of 2
        ([[0, 0]], 2, (1,), DataError),  # a true label twice
        ([[0, 1]], 3, (1,), DataError),  # weights of another label set
        ([[0], [1]], 2, (1,), DataError),  # two rows of predictions for one query
        ([[0, 1]], 2, (0,), ConfigError),
        ([[0, 1]], 2, (), ConfigError),
    ],
)
def test_contradicting_inputs_are_refused(
    top: list[list[int]], weights: int, ks: tuple[int, ...], error: type[Exception]
) -> None:
    relevance = sparse.csr_matrix(np.array([[1.0, 0.0]]))
    with pytest.raises(error):
        ranking_metrics(np.array(top), relevance, np.ones(weights), ks)


def test_graded_relevance_is_the_gain_of_ndcg_only() -> None:
    """The more relevant label first is worth more in nDCG; a common factor of all relevances is worth nothing."""
    graded = sparse.csr_matrix(np.array([[3.0, 1.0, 0.0]], dtype=np.float32))
    plain, ones = graded.sign(), np.ones(3)
    right, wrong = np.array([[0, 1]]), np.array([[1, 0]])
    best, worse = (ranking_metrics(top, graded, ones, [2]) for top in (right, wrong))
    assert best["nDCG@2"] == pytest.approx(1.0)
    assert worse["nDCG@2"] == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))
    assert ranking_metrics(wrong, 2 * plain, ones, [2]) == pytest.approx(ranking_metrics(wrong, plain, ones, [2]))
    assert {k: v for k, v in worse.items() if k != "nDCG@2"} == {k: v for k, v in best.items() if k != "nDCG@2"}
