"""The propensity model over a relevance matrix: label frequencies and the weight of every label."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.metrics.propensity import inverse_propensity, label_frequencies, label_weights
from vixml.params.evaluation import EvaluationParams

RELEVANCE = sp.csr_matrix(np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.float32))


def test_frequencies_count_the_points_of_every_label_also_of_one_without_any():
    assert label_frequencies(RELEVANCE).tolist() == [3, 0, 2, 0]


def test_weights_are_the_inverse_propensities_of_the_frequencies_under_the_given_model():
    weights = label_weights(RELEVANCE, EvaluationParams(propensity_a=0.6, propensity_b=2.6))

    np.testing.assert_array_equal(weights, inverse_propensity([3, 0, 2, 0], 5, 0.6, 2.6))
    assert weights[1] == weights.max() > weights[0] > 1
