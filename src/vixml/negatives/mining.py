"""Hard negative labels by exact search, and what a refresh says about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.retrieval.exact import top_k

Ints = NDArray[np.int64]


def mine_labels(
    queries: NDArray[np.float32], prototypes: NDArray[np.float32], relevance: sp.csr_matrix, *, count: int, device: str
) -> tuple[Ints, NDArray[np.float32]]:
    """Return the nearest irrelevant labels of every training query.

    Args:
        queries: Query embeddings [N, d].
        prototypes: Label prototypes [L, d].
        relevance: Relevance [N, L]; relevant labels are never mined.
        count: Labels per query.
        device: Where to search.

    Returns:
        Label ids int64 [N, count], -1 where fewer exist, and their similarities float32 [N, count].
    """
    scores, labels = top_k(queries, prototypes, count, exclude=relevance, device=device)
    return labels, scores


def refresh_report(
    queries: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    relevance: sp.csr_matrix,
    mined_scores: NDArray[np.float32],
    clusters: list[Ints],
) -> dict[str, Any]:
    """Say how hard the negatives are.

    Returns:
        Mean similarities to relevant and to mined labels, the share of queries whose hardest negative beats their best
        relevant label (`violation_rate`), and the clusters: count, sizes, cohesion (mean similarity to the centre), and
        purity (share of a cluster's query pairs, neighbours in it, that have a label in common).
    """
    rows = np.repeat(np.arange(relevance.shape[0]), np.diff(relevance.indptr))
    positive = np.einsum("nd,nd->n", queries[rows], prototypes[relevance.indices])
    best = np.full(relevance.shape[0], -np.inf, dtype=np.float32)
    np.maximum.at(best, rows, positive)
    known = np.isfinite(best) & np.isfinite(mined_scores[:, 0])
    sizes = np.array([len(cluster) for cluster in clusters])
    order = np.concatenate(clusters)
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(queries[order], starts, axis=0)
    left, right = order[:-1], order[1:]
    inside = np.ones(len(left), dtype=bool)
    inside[starts[1:] - 1] = False
    shared = np.asarray(relevance[left[inside]].multiply(relevance[right[inside]]).sum(axis=1)).ravel() > 0
    finite = mined_scores[np.isfinite(mined_scores)]
    return {
        "queries": int(relevance.shape[0]),
        "positive_similarity": float(positive.mean()) if len(positive) else 0.0,
        "negative_similarity": float(finite.mean()) if len(finite) else 0.0,
        "hardest_negative_similarity": float(mined_scores[known, 0].mean()) if known.any() else 0.0,
        "violation_rate": float((mined_scores[known, 0] > best[known]).mean()) if known.any() else 0.0,
        "clusters": len(clusters),
        "cluster_size": float(sizes.mean()),
        "cluster_cohesion": float(np.linalg.norm(sums, axis=1).sum() / sizes.sum()),
        "cluster_purity": float(shared.mean()) if len(shared) else 1.0,
    }
