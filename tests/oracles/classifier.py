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


def train_without_a_tree(features: sp.csr_matrix, relevance: sp.csr_matrix, cost: float, passes: int) -> np.ndarray:
    """Return weights [L, D] of support vector machines that have every other query as a negative example."""
    from sklearn.svm import LinearSVC

    columns = relevance.tocsc()
    weights = np.zeros((relevance.shape[1], features.shape[1]))
    for label in range(len(weights)):
        target = columns[:, [label]].toarray().ravel() > 0
        machine = LinearSVC(C=cost, dual=True, max_iter=passes, tol=0.1, random_state=0)
        weights[label] = machine.fit(features.astype(np.float64), target).coef_
    return weights
