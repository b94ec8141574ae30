"""Labels from the nearest training queries: each query's neighbours under a regression of their own.

Plain nearest neighbours let every similar training query vote by its similarity alone: five near-duplicates outvote
one that tells something else. A ridge regression over the neighbours (kernel ridge regression restricted to them)
weighs each by what it adds to the others. It needs no training, costs one small system of equations per query, and is
as good as the regression over all training queries, whose cost grows with their cube.

Source: kernel ridge regression (Saunders et al., ICML 1998), local learning (Bottou and Vapnik, 1992).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.params.ranking import NeighbourParams
from vixml.ranking.similarity import Items, most_similar, similarities_within


def neighbour_scores(queries: Items, keys: Items, relevance: sp.csr_matrix, params: NeighbourParams) -> sp.csr_matrix:
    """Return how strongly each query's neighbours speak for labels, CSR [n, L]; about 0 to 1, positive entries only.

    Args:
        queries: n queries.
        keys: N training queries.
        relevance: Their labels, CSR [N, L].
        params: Neighbours and regression.
    """
    similarity, rows = most_similar(queries, keys, params.neighbours, block=params.query_block)
    weights = regression_weights(keys, similarity, rows, params)
    offsets = np.arange(len(rows) + 1) * rows.shape[1]
    chosen = sp.csr_matrix((weights.ravel(), rows.ravel(), offsets), shape=(len(rows), len(keys)))
    scores = sp.csr_matrix(chosen @ relevance, dtype=np.float32)
    scores.data[scores.data < 0] = 0
    scores.eliminate_zeros()
    scores.sort_indices()
    return scores


def regression_weights(
    keys: Items, similarity: NDArray[np.float32], rows: NDArray[np.int64], params: NeighbourParams
) -> NDArray[np.float32]:
    """Return each neighbour's weight float32 [n, k]: `(K + ridge I)^-1 k` of the kernel `max(similarity, 0) ** power`.

    Args:
        keys: N training queries.
        similarity: Similarity of each query with its neighbours [n, k].
        rows: Rows of the neighbours int64 [n, k].
        params: Regression.
    """
    weights = np.empty_like(similarity)
    block = max(1, params.query_block // 4)
    for begin in range(0, len(rows), block):
        part = slice(begin, begin + block)
        within = _kernel(similarities_within(keys, rows[part]), params.power)
        diagonal = np.arange(within.shape[1])
        within[:, diagonal, diagonal] += np.float32(params.ridge)
        across = _kernel(similarity[part], params.power)
        weights[part] = np.linalg.solve(within, across[..., None])[..., 0]
    return weights


def _kernel(similarity: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return the kernel; of a whole power it is positive definite where no similarity is negative."""
    positive = np.maximum(similarity, 0)
    return positive * positive if power == 2 else positive ** np.float32(power)
