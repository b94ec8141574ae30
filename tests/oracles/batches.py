"""A batch's positives and target, query by query: slow and obvious."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def assemble(
    relevance: sp.csr_matrix, weights: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a label for each query by weight; return the sorted pool and the target [B, P]."""
    labels = [relevance.indices[relevance.indptr[row] : relevance.indptr[row + 1]] for row in rows]
    drawn = [rng.choice(own, p=weights[own] / weights[own].sum()) for own in labels]
    pool = np.array(sorted(set(drawn)))
    return pool, pool_target(relevance, rows, pool)


def pool_target(relevance: sp.csr_matrix, rows: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Look every (query, pooled label) pair up; Boolean [B, P]."""
    target = np.zeros((len(rows), len(pool)), dtype=bool)
    for i, row in enumerate(rows):
        target[i] = np.isin(pool, relevance.indices[relevance.indptr[row] : relevance.indptr[row + 1]])
    return target
