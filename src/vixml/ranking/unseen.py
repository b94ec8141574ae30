"""Rankings of validation queries by weights that were fitted on others, on the scale of the final scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.params.ranking import BlendParams
from vixml.ranking.blend import Evidence, blend
from vixml.retrieval.augmentation import sparse_top_k, without_pairs
from vixml.retrieval.index import SearchResult


def unseen_ranking(
    parts: Mapping[str, Evidence],
    final: BlendParams,
    halves: Sequence[BlendParams],
    inverse_propensity: NDArray[np.float64],
    *,
    exclude: sp.csr_matrix,
    depth: int,
) -> SearchResult:
    """Return scores float32 [n, depth] and labels int64 [n, depth] of queries, padded with -inf and -1.

    The final weights were fitted on the same queries, so their ranking is a little too good there. Each half of the
    queries is ranked by the weights that were fitted on the other one instead. Those scores have a scale of their own:
    each is replaced by the final blend's score of the same place among all scores of these queries.

    Args:
        parts: Evidence about the queries.
        final: The weights that are used from now on.
        halves: The weights fitted on the queries 0, 2, 4, ... and on 1, 3, 5, ...; none where nothing was fitted.
        inverse_propensity: Weight of each label float64 [L].
        exclude: Pairs left out, CSR [n, L].
        depth: Labels of each query.
    """

    def ranked(weights: BlendParams, rows: NDArray[np.int64]) -> SearchResult:
        some = {name: Evidence(sp.csr_matrix(part.scores[rows]), part.mass) for name, part in parts.items()}
        mixed = blend(some, weights, inverse_propensity)
        return sparse_top_k(without_pairs(mixed, sp.csr_matrix(exclude[rows])), depth)

    every = np.arange(exclude.shape[0])
    scores, labels = ranked(final, every)
    for half, weights in enumerate(halves):
        rows = every[1 - half :: 2]
        own, labels[rows] = ranked(weights, rows)
        scores[rows] = same_scale(own, scores[rows])
    return scores, labels


def same_scale(scores: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores [n, k] with the distribution of others [n, k]; order and padding (-inf) stay.

    Args:
        scores: Scores on one scale.
        others: Scores of the same queries on another.
    """
    real = np.isfinite(scores)
    own, wanted = np.sort(scores[real]), np.sort(others[np.isfinite(others)])
    mapped = scores.copy()
    if len(own) and len(wanted):
        place = np.interp(scores[real], own, np.linspace(0, 1, len(own)))
        mapped[real] = np.interp(place, np.linspace(0, 1, len(wanted)), wanted)
    return mapped
