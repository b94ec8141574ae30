"""What a refresh says about the negatives: how hard they are, how pure the clusters, and how much has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.negatives.mining import Mined

Ints = NDArray[np.int64]

_PAIRS = 1 << 16  # pairs whose vectors are compared at once


def negatives_report(
    queries: NDArray[np.floating],
    prototypes: NDArray[np.floating],
    relevance: sp.csr_matrix,
    mined: Mined,
    *,
    rows: Ints | None = None,
    previous: NDArray[np.integer] | None = None,
) -> dict[str, float]:
    """Say how hard mined labels are.

    Args:
        queries: Query embeddings [N, d].
        prototypes: What represents the labels [L, d].
        relevance: Relevance [N, L].
        mined: Hard negatives of some queries.
        rows: Which queries [n]; None for all.
        previous: Labels mined at the refresh before [n, k], if there was one.

    Returns:
        Mean similarities to relevant labels, to mined ones and to the hardest one; the share of queries whose hardest
        negative beats their best relevant label (`violation_rate`); the share of the labels looked at that were
        `near_duplicates`; and the share of the mined labels that the refresh before did not have (`negatives_changed`).
    """
    rows = np.arange(len(queries)) if rows is None else rows
    own = sp.csr_matrix(relevance[rows])
    place = np.repeat(np.arange(len(rows)), np.diff(own.indptr))
    positive = np.empty(len(place), dtype=np.float32)
    for begin in range(0, len(place), _PAIRS):
        part = slice(begin, begin + _PAIRS)
        query, label = queries[rows[place[part]]], prototypes[own.indices[part]]
        positive[part] = np.einsum("nd,nd->n", query.astype(np.float32), label.astype(np.float32))
    best = np.full(len(rows), -np.inf, dtype=np.float32)
    np.maximum.at(best, place, positive)
    hardest = mined.scores[:, 0]
    known = np.isfinite(best) & np.isfinite(hardest)
    finite = mined.scores[np.isfinite(mined.scores)]
    report = {
        "queries": float(len(rows)),
        "positive_similarity": float(positive.mean()) if len(positive) else 0.0,
        "negative_similarity": float(finite.mean()) if len(finite) else 0.0,
        "hardest_negative_similarity": float(hardest[known].mean()) if known.any() else 0.0,
        "violation_rate": float((hardest[known] > best[known]).mean()) if known.any() else 0.0,
        "near_duplicates": mined.near_duplicates,
    }
    return report if previous is None else {**report, "negatives_changed": changed_share(mined.labels, previous)}


def clusters_report(
    embeddings: NDArray[np.floating],
    relevance: sp.csr_matrix,
    clusters: Sequence[Ints],
    previous: Sequence[Ints] | None = None,
) -> dict[str, float]:
    """Say what the clusters that batches are cut from look like.

    Args:
        embeddings: Unit embeddings of all training queries [N, d].
        relevance: Relevance [N, L].
        clusters: Partition of queries.
        previous: The clusters before these, if there were any.

    Returns:
        How many (`clusters`), their mean size, their cohesion (mean similarity to the centre), and of the pairs of
        queries that are neighbours in a cluster: the share with a label in common (`cluster_purity`), and the share
        that were in different clusters before (`neighbours_changed`).
    """
    sizes = np.array([len(cluster) for cluster in clusters])
    order = np.concatenate(clusters)
    sums = np.stack([embeddings[cluster].astype(np.float32).sum(axis=0) for cluster in clusters])
    inside = np.ones(len(order) - 1, dtype=bool)
    inside[np.cumsum(sizes)[:-1] - 1] = False
    left, right = order[:-1][inside], order[1:][inside]
    shared = np.asarray(relevance[left].multiply(relevance[right]).sum(axis=1)).ravel() > 0
    report = {
        "clusters": float(len(clusters)),
        "cluster_size": float(sizes.mean()),
        "cluster_cohesion": float(np.linalg.norm(sums, axis=1).sum() / sizes.sum()),
        "cluster_purity": float(shared.mean()) if len(shared) else 1.0,
    }
    if previous is None or not len(left):
        return report
    cluster_of = np.full(relevance.shape[0], -1)
    cluster_of[np.concatenate(previous)] = np.repeat(np.arange(len(previous)), [len(cluster) for cluster in previous])
    return {**report, "neighbours_changed": float((cluster_of[left] != cluster_of[right]).mean())}


def changed_share(labels: NDArray[np.integer], previous: NDArray[np.integer]) -> float:
    """Return the share of each row's labels [n, k] that the same row of `previous` [n, m] does not have; -1 is none."""
    new = total = 0
    for begin in range(0, len(labels), 4096):
        block, before = labels[begin : begin + 4096], previous[begin : begin + 4096]
        found = (block[:, :, None] == before[:, None, :]).any(axis=2)
        new, total = new + int((~found & (block >= 0)).sum()), total + int((block >= 0).sum())
    return new / max(1, total)
