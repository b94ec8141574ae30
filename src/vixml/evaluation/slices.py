"""Where a model is good: frequent or rare labels, queries with or without picture, of short or long text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.metrics.groups import GROUPS, label_groups
from vixml.metrics.ranking import QueryMetrics

if TYPE_CHECKING:
    import pandas as pd

IMAGES = ("with image", "without image")
TEXTS = ("short text", "medium text", "long text")
_BLOCK_ROWS = 16_384


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
    """Return for every true pair (in the matrix's order) whether it was predicted, bool [nnz]."""
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


def query_masks(items: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return slice -> bool [n]: queries with and without image, and of short, medium and long text.

    Args:
        items: Test queries with columns `text` and `images`.
    """
    shown = np.array([len(files) > 0 for files in items["images"]], dtype=bool)
    words = _words(items)
    short, medium = text_bounds(items)
    texts = (words <= short, (words > short) & (words <= medium), words > medium)
    return {**dict(zip(IMAGES, (shown, ~shown), strict=True)), **dict(zip(TEXTS, texts, strict=True))}


def text_bounds(items: pd.DataFrame) -> tuple[int, int]:
    """Return the most words of a short and of a medium text: about a third of the queries each."""
    words = _words(items)
    if not len(words):
        return 0, 0
    short, medium = np.quantile(words, [1 / 3, 2 / 3], method="inverted_cdf")
    return int(short), int(medium)


def never_predicted(top_labels: NDArray[np.integer], num_labels: int) -> float:
    """Return the share of all labels that are in no query's predictions [n, k] (-1 is padding)."""
    predicted = np.unique(top_labels[top_labels >= 0])
    return 1.0 - len(predicted) / max(1, num_labels)


def slice_report(
    top_labels: NDArray[np.integer],
    metrics: QueryMetrics,
    *,
    items: pd.DataFrame,
    relevance: sp.csr_matrix,
    frequencies: NDArray[np.integer],
    ks: Sequence[int],
    names: Sequence[str],
) -> dict[str, Any]:
    """Return a ranking's results by slice, as fractions.

    Args:
        top_labels: Predicted labels, best first, int [n, k]; -1 is padding.
        metrics: Metrics of every query.
        items: Test queries with columns `text` and `images`, n rows.
        relevance: Ground truth, CSR [n, L].
        frequencies: Training points of each label, [L].
        ks: Depths.
        names: Metrics reported of the slices of queries; those that were not measured are left out.

    Returns:
        `queries` (slice -> number of queries, and metrics), `words` (most words of a short and a medium text), `labels`
        (group -> number of labels, their least and most training points, share of their true pairs that were found at
        each depth), `never_predicted` (share of all labels at each depth), and `found` (share of the labels to be found
        that were found at least once, at each depth).
    """
    groups = label_groups(frequencies)
    labels: dict[str, dict[str, Any]] = dict(zip(GROUPS, describe_groups(frequencies, groups), strict=True))
    for k in ks:
        for name, recall in zip(GROUPS, group_recall(top_labels[:, :k], relevance, groups), strict=True):
            labels[name][f"recall@{k}"] = recall
    queries = {
        name: {"queries": found["queries"], **{key: found["metrics"][key] for key in names if key in found["metrics"]}}
        for name, found in query_slices(metrics, query_masks(items)).items()
    }
    return {
        "queries": queries,
        "words": dict(zip(TEXTS, text_bounds(items), strict=False)),
        "labels": labels,
        "never_predicted": {f"@{k}": never_predicted(top_labels[:, :k], relevance.shape[1]) for k in ks},
        "found": {f"@{k}": label_coverage(top_labels[:, :k], relevance) for k in ks},
    }


def _words(items: pd.DataFrame) -> NDArray[np.int64]:
    return np.array([len(str(text).split()) for text in items["text"]], dtype=np.int64)
