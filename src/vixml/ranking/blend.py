"""One ranking from all evidence: a weighted sum of what several parts say about each label.

A part is a sparse matrix of positive scores, queries by labels; a label that a part does not name gets nothing from it.
Parts that come from a softmax say how they divide one unit of mass; the others say of each label how likely it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.params.ranking import BlendParams, PartParams

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
TEMPERATURE = 0.05
"""Softmax temperature of a similarity part at sharpness 1."""
DEPTH = 100
"""Best labels of each part and query that count."""


@dataclass(frozen=True)
class Evidence:
    """What one part says about the labels of a block of queries.

    Args:
        scores: CSR float32 [n, L], positive entries, at most one for each pair.
        mass: Whether each query's scores divide one unit among the labels, whatever the sharpness.
    """

    scores: sp.csr_matrix
    mass: bool = False

    @classmethod
    def of_similarities(cls, found: Found, num_labels: int) -> Evidence:
        """Turn a search's similarities and labels [n, k] (padded with -inf and -1) into mass."""
        similarity, labels = found
        peak = np.maximum(similarity.max(axis=1, keepdims=True, initial=-np.inf), np.finfo(np.float32).min)
        return cls(_to_csr(np.exp((similarity - peak) / np.float32(TEMPERATURE)), labels, num_labels), mass=True)

    @classmethod
    def of_scores(cls, found: Found, num_labels: int) -> Evidence:
        """Take a search's positive scores and labels [n, k] (padded with -inf and -1) as they are."""
        return cls(_to_csr(found[0], found[1], num_labels))

    def strongest(self, depth: int) -> Evidence:
        """Return only the `depth` largest scores of each query; of equal ones the lower labels."""
        matrix = self.scores
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        order = np.lexsort((matrix.indices, -matrix.data, rows))
        kept = np.sort(order[np.arange(len(order)) - matrix.indptr[rows[order]] < depth])
        indptr = np.append(0, np.cumsum(np.bincount(rows[kept], minlength=matrix.shape[0])))
        return Evidence(sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), matrix.shape), self.mass)

    def without(self, pairs: sp.csr_matrix | None) -> Evidence:
        """Return the evidence without the pairs that the CSR matrix `pairs` [n, L] stores."""
        if pairs is None or not pairs.nnz:
            return self
        kept = sp.csr_matrix(pairs, dtype=np.float32, copy=True)
        kept.data[:] = 1
        left = sp.csr_matrix(self.scores - self.scores.multiply(kept), dtype=np.float32)
        left.eliminate_zeros()
        return Evidence(left, self.mass)

    def top(self) -> NDArray[np.float32]:
        """Return each query's largest score float32 [n]; 0 where there is none."""
        return np.asarray(self.scores.max(axis=1).todense(), dtype=np.float32).ravel()


def contribution(evidence: Evidence, params: PartParams, inverse_propensity: NDArray[np.float64]) -> sp.csr_matrix:
    """Return what a part adds to the scores, CSR float32 [n, L]."""
    scores = evidence.strongest(DEPTH).scores
    scores.data = (scores.data / np.float32(params.scale)) ** np.float32(params.sharpness)
    if evidence.mass:
        total = np.asarray(scores.sum(axis=1)).ravel()
        scores.data /= np.repeat(np.maximum(total, 1e-30), np.diff(scores.indptr)).astype(np.float32)
    scores.data *= np.float32(params.weight)
    if params.tail:
        scores.data *= (inverse_propensity**params.tail).astype(np.float32)[scores.indices]
    return scores


def blend(parts: Mapping[str, Evidence], params: BlendParams, inverse_propensity: NDArray[np.float64]) -> sp.csr_matrix:
    """Return the blended scores CSR float32 [n, L]; a label that no part names is absent.

    Args:
        parts: Evidence of every part that has a weight; others are skipped.
        params: Weights, as fitted.
        inverse_propensity: Weight of each label float64 [L].

    Raises:
        DataError: Evidence of a part that has a weight is missing.
    """
    wanted = [name for name, part in params.parts.items() if part.weight > 0]
    if missing := [name for name in wanted if name not in parts]:
        raise DataError("a part of the ranking has no evidence", found=", ".join(missing), expected=", ".join(wanted))
    shares = [contribution(parts[name], params.parts[name], inverse_propensity) for name in wanted]
    scores = sp.csr_matrix(sum(shares[1:], start=shares[0]), dtype=np.float32)
    scores.sort_indices()
    return scores


def _to_csr(values: NDArray[np.float32], labels: NDArray[np.int64], num_labels: int) -> sp.csr_matrix:
    real = (labels >= 0) & (values > 0)
    indptr = np.append(0, np.cumsum(real.sum(axis=1)))
    scores = sp.csr_matrix((values[real].astype(np.float32), labels[real], indptr), shape=(len(values), num_labels))
    scores.sort_indices()
    return scores
