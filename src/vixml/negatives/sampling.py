"""Positive labels and targets of a batch by array operations over CSR (PRIME, section 3.3)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.data.ragged import ragged_indices

Ints = NDArray[np.int64]


class PositiveSampler:
    """Draws one relevant label per query, with probability proportional to the label's inverse propensity.

    Where relevance is graded the probability is also proportional to the pair's relevance, whatever the objective.

    Args:
        relevance: Relevance [N, L], CSR; entries above 0 (1 where it is not graded).
        inverse_propensity: Weights of the labels, float64 [L].
    """

    def __init__(self, relevance: sp.csr_matrix, inverse_propensity: NDArray[np.float64]) -> None:
        self._indptr = relevance.indptr.astype(np.int64)
        self._labels = relevance.indices.astype(np.int64)
        self._cumulative = np.cumsum(inverse_propensity[self._labels] * relevance.data.astype(np.float64))

    def draw(self, rows: Ints, rng: np.random.Generator) -> Ints:
        """Return a label for each query in `rows`.

        Args:
            rows: Query indices [B]; one without any label is left out.
            rng: Random stream of this step.
        """
        begin, end = self._indptr[rows], self._indptr[rows + 1]
        begin, end = begin[begin < end], end[begin < end]
        below = np.where(begin > 0, self._cumulative[begin - 1], 0.0)
        level = below + rng.random(len(begin)) * (self._cumulative[end - 1] - below)
        place = np.searchsorted(self._cumulative, level, side="right")
        return self._labels[np.clip(place, begin, end - 1)]


def pool_target(relevance: sp.csr_matrix, rows: Ints, pool: Ints) -> NDArray[np.bool_]:
    """Mark every (query, pooled label) pair that the ground truth holds.

    Args:
        relevance: Relevance [N, L], CSR.
        rows: Query indices [B].
        pool: Sorted unique label ids [P].

    Returns:
        Boolean [B, P].
    """
    row, column, _ = _in_pool(relevance, rows, pool)
    target = np.zeros((len(rows), len(pool)), dtype=bool)
    target[row, column] = True
    return target


def pool_values(matrix: sp.csr_matrix, rows: Ints, pool: Ints) -> NDArray[np.float32]:
    """Return the entries of a matrix for every (query, pooled label) pair, 0 where it has none.

    Args:
        matrix: CSR [N, L].
        rows: Query indices [B].
        pool: Sorted unique label ids [P].

    Returns:
        float32 [B, P].
    """
    row, column, place = _in_pool(matrix, rows, pool)
    values = np.zeros((len(rows), len(pool)), dtype=np.float32)
    values[row, column] = matrix.data[place]
    return values


def _in_pool(matrix: sp.csr_matrix, rows: Ints, pool: Ints) -> tuple[Ints, Ints, Ints]:
    """Return place in the batch, place in the pool, and place in the matrix of each entry whose label is pooled."""
    indptr = matrix.indptr.astype(np.int64)
    lengths = indptr[rows + 1] - indptr[rows]
    place = ragged_indices(indptr[rows], lengths)
    labels = matrix.indices[place]
    column = np.searchsorted(pool, labels)
    column[column == len(pool)] = 0
    found = pool[column] == labels
    return np.repeat(np.arange(len(rows)), lengths)[found], column[found], place[found]
