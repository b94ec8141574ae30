"""Label frequencies in training, and propensities: how likely a true label is to have been observed at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from vixml.core.errors import ConfigError
from vixml.params.evaluation import EvaluationParams


def label_frequencies(relevance: csr_matrix) -> NDArray[np.int64]:
    """Return the training points of each label, int64 [L], of a relevance matrix [N, L]."""
    return np.bincount(relevance.indices, minlength=relevance.shape[1])


def label_weights(relevance_train: csr_matrix, params: EvaluationParams) -> NDArray[np.float64]:
    """Return the inverse propensity of every label, float64 [L], by its frequency in training [N, L]."""
    frequencies = label_frequencies(relevance_train)
    return inverse_propensity(frequencies, relevance_train.shape[0], params.propensity_a, params.propensity_b)


def inverse_propensity(frequencies: ArrayLike, num_points: int, a: float, b: float) -> NDArray[np.float64]:
    """Return the inverse propensity of every label: large for rare labels, near 1 for frequent ones.

    Args:
        frequencies: Training points of each label, [L], at least 0.
        num_points: Training points in all, at least 1.
        a: Exponent A, above 0 (0.6 Amazon, 0.5 Wikipedia, 0.55 otherwise).
        b: Offset B, above 0 (2.6 Amazon, 0.4 Wikipedia, 1.5 otherwise).

    Returns:
        float64 [L]: `1 + C (f + B)^-A` with `C = (ln N - 1)(B + 1)^A`.

    Raises:
        ConfigError: `a`, `b` or `num_points` out of range.

    Source: Jain, Prabhu, Varma, KDD 2016, section 4.
    """
    if a <= 0 or b <= 0 or num_points < 1:
        raise ConfigError(
            "the propensity model cannot be evaluated",
            found=f"A={a}, B={b}, N={num_points}",
            expected="A > 0, B > 0 and at least one training point",
        )
    # With fewer than e points the published C is negative and weights would turn negative: every label weighs 1 then.
    c = max(np.log(num_points) - 1.0, 0.0) * (b + 1.0) ** a
    return 1.0 + c * (np.asarray(frequencies, dtype=np.float64) + b) ** -a
