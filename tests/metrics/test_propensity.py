"""The propensity model over a relevance matrix: label frequencies and the weight of every label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from vixml.core.errors import ConfigError
from vixml.metrics.propensity import inverse_propensity, label_frequencies, label_weights
from vixml.params.evaluation import EvaluationParams

RELEVANCE = sp.csr_matrix(np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.float32))


def test_frequencies_count_the_points_of_every_label_also_of_one_without_any():
    assert label_frequencies(RELEVANCE).tolist() == [3, 0, 2, 0]


def test_weights_are_the_inverse_propensities_of_the_frequencies_under_the_given_model():
    weights = label_weights(RELEVANCE, EvaluationParams(propensity_a=0.6, propensity_b=2.6))

    np.testing.assert_array_equal(weights, inverse_propensity([3, 0, 2, 0], 5, 0.6, 2.6))
    assert weights[1] == weights.max() > weights[0] > 1


def test_inverse_propensity_matches_golden(golden_dir: Path) -> None:
    with np.load(golden_dir / "metrics.npz", allow_pickle=False) as golden:
        parts = tuple(golden[f"train_{part}"] for part in ("data", "indices", "indptr"))
        train = sp.csr_matrix(parts, shape=tuple(golden["train_shape"]))
        frequencies = np.asarray(train.sum(axis=0)).ravel()
        computed = inverse_propensity(frequencies, train.shape[0], float(golden["A"]), float(golden["B"]))
        np.testing.assert_allclose(computed, golden["inv_propensity"], rtol=1e-6)  # golden: float32


def test_rare_labels_weigh_more_and_tiny_sets_weigh_one() -> None:
    weights = inverse_propensity([0, 1, 10, 1000], 10_000, 0.55, 1.5)
    assert (np.diff(weights) < 0).all()
    assert (weights > 1).all()
    assert inverse_propensity([1, 1], 2, 0.55, 1.5).tolist() == [1.0, 1.0]
    with pytest.raises(ConfigError, match="propensity"):
        inverse_propensity([1], 10, 0.55, 0.0)
