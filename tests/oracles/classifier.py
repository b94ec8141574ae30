"""Classifiers one by one: a ridge regression of scikit-learn for every label, in float64."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def train_classifiers(features: np.ndarray, relevance: sp.csr_matrix, ridge: float) -> np.ndarray:
    """Return weights [L, D]."""
    from sklearn.linear_model import Ridge

    columns = relevance.tocsc()
    weights = np.zeros((relevance.shape[1], features.shape[1]))
    for label in range(len(weights)):
        target = columns[:, [label]].toarray().ravel()
        model = Ridge(alpha=ridge, fit_intercept=False, solver="cholesky")
        weights[label] = model.fit(features.astype(np.float64), target).coef_
    return weights
