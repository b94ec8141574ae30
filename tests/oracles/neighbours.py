"""Labels of the nearest training queries, query by query and number by number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp


def neighbour_scores(
    queries: Mapping[str, np.ndarray],
    keys: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    relevance: np.ndarray,
    *,
    neighbours: int,
    power: float,
    ridge: float,
) -> np.ndarray:
    """Return dense scores [n, L] from dense feature spaces."""
    scores = np.zeros((len(next(iter(queries.values()))), relevance.shape[1]))
    for query in range(len(scores)):
        near = [similarity(queries, query, keys, key, weights) for key in range(len(relevance))]
        rows = sorted(range(len(near)), key=lambda key: (-near[key], key))[:neighbours]
        kernel = np.array([[max(similarity(keys, a, keys, b, weights), 0) ** power for b in rows] for a in rows])
        right = np.array([max(near[row], 0) ** power for row in rows])
        share = np.linalg.inv(kernel + ridge * np.eye(len(rows))) @ right
        scores[query] = np.maximum(share @ relevance[rows], 0)
    return scores


def similarity(
    a: Mapping[str, np.ndarray], i: int, b: Mapping[str, np.ndarray], j: int, weights: Mapping[str, float]
) -> float:
    """Return the weighted sum of the cosines over the geometric mean of what each side's spaces weigh."""

    def present(side: Mapping[str, np.ndarray], row: int) -> float:
        return sum(weight for name, weight in weights.items() if side[name][row].any())

    total = sum(weight * float(a[name][i] @ b[name][j]) for name, weight in weights.items())
    return total / max(np.sqrt(present(a, i) * present(b, j)), 1e-12)


def dense(blocks: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return all feature spaces as dense float64 arrays."""
    return {
        name: np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)
        for name, block in blocks.items()
    }
