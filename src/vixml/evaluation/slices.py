"""Where a model is good: on frequent or rare labels, on queries with or without a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.evaluation.metrics import QueryMetrics

GROUPS = ("head", "torso", "tail")
_BLOCK_ROWS = 16_384


def label_groups(frequencies: NDArray[np.integer]) -> NDArray[np.int8]:
    """Split the labels into head, torso and tail: each holds about a third of all training pairs.

    Args:
        frequencies: Training points of each label, [L]. Labels without any belong to the tail.

    Returns:
        Position in `GROUPS` of each label, int8 [L]; equally frequent labels are in one group.
    """
    order = np.argsort(-frequencies, kind="stable")
    before = np.cumsum(frequencies[order]) - frequencies[order]
    share = before / max(1, frequencies.sum())
    group = np.empty(len(frequencies), dtype=np.int8)
    group[order] = np.where(frequencies[order] > 0, np.minimum(share * 3, 2), 2).astype(np.int8)
    # the first label of a frequency decides for all of that frequency
    _, first, inverse = np.unique(-frequencies[order], return_index=True, return_inverse=True)
    group[order] = group[order][first][inverse]
    return group


def describe_groups(frequencies: NDArray[np.integer], groups: NDArray[np.int8]) -> list[dict[str, int]]:
    """Return of each group: labels, least and most training points of one."""
    found = [frequencies[groups == position] for position in range(len(GROUPS))]
    return [
        {"labels": len(part), "least": int(part.min()) if len(part) else 0, "most": int(part.max(initial=0))}
        for part in found
    ]


def group_recall(
    top_labels: NDArray[np.integer], relevance: sp.csr_matrix, groups: NDArray[np.int8]
) -> list[float | None]:
    """Return of each label group the share of its true pairs that are among the predictions.

    Args:
        top_labels: Predicted labels, int [n, k]; -1 is padding.
        relevance: Ground truth, CSR [n, L].
        groups: Group of each label, [L].

    Returns:
        Fractions; None for a group without any true pair.
    """
    true = np.bincount(groups[relevance.indices], minlength=len(GROUPS))
    found = np.bincount(groups[relevance.indices[hit_pairs(top_labels, relevance)]], minlength=len(GROUPS))
    return [float(hits / pairs) if pairs else None for hits, pairs in zip(found, true, strict=True)]


def label_coverage(top_labels: NDArray[np.integer], relevance: sp.csr_matrix) -> float:
    """Return the share of the labels with a true test pair that were predicted correctly at least once."""
    wanted = np.unique(relevance.indices)
    return float(len(np.unique(relevance.indices[hit_pairs(top_labels, relevance)])) / max(1, len(wanted)))


def hit_pairs(top_labels: NDArray[np.integer], relevance: sp.csr_matrix) -> NDArray[np.bool_]:
    """Tell for every true pair (in the matrix's order) whether it was predicted, bool [nnz]."""
    hit = np.zeros(relevance.nnz, dtype=bool)
    for begin in range(0, relevance.shape[0], _BLOCK_ROWS):
        end = min(begin + _BLOCK_ROWS, relevance.shape[0])
        pairs = slice(relevance.indptr[begin], relevance.indptr[end])
        rows = np.repeat(np.arange(begin, end), np.diff(relevance.indptr[begin : end + 1]))
        hit[pairs] = (top_labels[rows] == relevance.indices[pairs, None]).any(axis=1)
    return hit


def query_slices(metrics: QueryMetrics, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, dict[str, Any]]:
    """Return the mean metrics over each slice of the queries, as fractions, with its number of queries.

    Args:
        metrics: Metrics of every query.
        masks: Slice -> bool [n].
    """
    return {name: {"queries": int(mask.sum()), "metrics": metrics.mean(mask)} for name, mask in masks.items()}
