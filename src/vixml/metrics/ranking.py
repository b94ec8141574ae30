"""Ranking metrics of extreme classification: P, PSP, nDCG, PSnDCG, R, Hit, MRR and MAP at any k, in one pass.

The membership test runs from the TRUE pairs to the predictions: a test point has few labels, so looking each of them up
in the point's top list costs far less than looking every prediction up in the relevance matrix. Everything else is
sums over the few hits that result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRIC_NAMES = ("P", "PSP", "nDCG", "PSnDCG", "R", "Hit", "MRR", "MAP")
HEADLINE = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@100")
"""Metrics of the tables and of slices (those that were computed), in the order of the tables."""

_PAIRS_PER_BLOCK = 1 << 16


def standing(metrics: Mapping[str, float], first: str = "P@1") -> tuple[float, float]:
    """Return what runs are ordered by: one metric, and of equal ones the sum of all headline metrics.

    Args:
        metrics: Name -> value, as fractions.
        first: The metric that counts before all others; 0 where it was not computed.
    """
    return metrics.get(first, 0.0), sum(metrics.get(name, 0.0) for name in HEADLINE)


@dataclass(frozen=True)
class QueryMetrics:
    """Metrics of every single query, from which means over any subset or bootstrap sample follow.

    Args:
        values: Metric name ("P@1", "PSP@5", ...) -> float64 [N], a fraction (PSP, PSnDCG: not normalised yet).
        best: For PSP and PSnDCG: the best value that any ranking could reach, float64 [N].
    """

    values: Mapping[str, Floats]
    best: Mapping[str, Floats]

    def mean(self, rows: NDArray[np.generic] | None = None) -> dict[str, float]:
        """Return every metric over the queries `rows` (indices or Boolean mask; default all), as fractions.

        PSP and PSnDCG are ratios of means: achieved over achievable on the same queries. No query at all gives 0.
        """
        means = {}
        for name, values in self.values.items():
            chosen = values if rows is None else values[rows]
            mean = float(chosen.mean()) if len(chosen) else 0.0
            if name in self.best:
                best = self.best[name] if rows is None else self.best[name][rows]
                ideal = float(best.mean()) if len(best) else 0.0
                mean = mean / ideal if ideal > 0 else 0.0
            means[name] = mean
        return means


def ranking_metrics(
    top_labels: Ints, relevance: sp.csr_matrix, inverse_propensity: Floats, ks: Sequence[int]
) -> dict[str, float]:
    """Return all metrics at all depths, as fractions; see `query_metrics` for the arguments."""
    return query_metrics(top_labels, relevance, inverse_propensity, ks).mean()


def query_metrics(
    top_labels: Ints, relevance: sp.csr_matrix, inverse_propensity: Floats, ks: Sequence[int]
) -> QueryMetrics:
    """Return all metrics of every query.

    A query without any true label scores 0 everywhere and counts in the means (the field's convention).

    Args:
        top_labels: Predicted labels, best first, int64 [N, K]; -1 is padding.
        relevance: True pairs, CSR [N, L]; entries above 0 are true. Graded relevance is the gain of nDCG (Järvelin and
            Kekäläinen, TOIS 2002, with linear gain); the other metrics only ask whether a pair is true.
        inverse_propensity: Weight of each label, float64 [L].
        ks: Depths, each at least 1; a depth beyond K treats the missing predictions as wrong.

    Raises:
        ConfigError: No depth, or one below 1.
        DataError: Shapes disagree, a label id is out of range, or a list repeats a true label.

    Source: method.md section 8; MAP@k divides by min(k, number of true labels).
    """
    _check(top_labels, relevance, inverse_propensity, ks)
    relevance = _true_pairs(relevance)
    num_queries, depth = top_labels.shape
    counts = np.diff(relevance.indptr).astype(np.int64)
    row, rank, pair = _hits(top_labels, relevance, counts)
    best_row, best_rank, best_weight = _ideal_order(relevance, counts, inverse_propensity[relevance.indices])
    weight = inverse_propensity[relevance.indices[pair]]
    discount = 1.0 / np.log2(np.arange(max(depth, *ks, int(counts.max(initial=0))) + 1) + 2.0)
    ideal_gain = np.concatenate([[1.0], np.cumsum(discount)])  # a query without labels divides 0 by 1
    first = np.full(num_queries, depth, dtype=np.int64)
    np.minimum.at(first, row, rank)
    hit_number = np.arange(len(row)) - np.searchsorted(row, row) + 1

    values: dict[str, Floats] = {}
    best: dict[str, Floats] = {}
    for k in ks:
        top, best_top = rank < k, best_rank < k
        rows, ranks, best_rows = row[top], rank[top], best_row[best_top]

        def total(weights: Floats | None = None, rows: Ints = rows) -> Floats:
            return np.bincount(rows, weights=weights, minlength=num_queries).astype(np.float64)

        hits, reachable, ideal = total(), np.maximum(np.minimum(counts, k), 1), ideal_gain[np.minimum(counts, k)]
        values[f"P@{k}"] = hits / k
        values[f"PSP@{k}"] = total(weight[top]) / k
        values[f"nDCG@{k}"] = total(discount[ranks]) / ideal
        values[f"PSnDCG@{k}"] = total(weight[top] * discount[ranks]) / ideal
        values[f"R@{k}"] = hits / np.maximum(counts, 1)
        values[f"Hit@{k}"] = (hits > 0).astype(np.float64)
        values[f"MRR@{k}"] = np.where(first < min(k, depth), 1.0 / (first + 1.0), 0.0)
        values[f"MAP@{k}"] = total(hit_number[top] / (ranks + 1.0)) / reachable
        best[f"PSP@{k}"] = total(best_weight[best_top], best_rows) / k
        best[f"PSnDCG@{k}"] = total(best_weight[best_top] * discount[best_rank[best_top]], best_rows) / ideal
    if not (relevance.data == 1).all():
        values |= _graded_ndcg(relevance, counts, (row, rank, pair), discount, ks)
    return QueryMetrics(values=values, best=best)


def _graded_ndcg(
    relevance: sp.csr_matrix, counts: Ints, hits: tuple[Ints, Ints, Ints], discount: Floats, ks: Sequence[int]
) -> dict[str, Floats]:
    """Return nDCG of every query where a pair's relevance is its gain; the ideal list begins with the most relevant."""
    row, rank, pair = hits
    gains = relevance.data.astype(np.float64)
    best_row, best_rank, best_gain = _ideal_order(relevance, counts, gains)
    found, best = gains[pair] * discount[rank], best_gain * discount[best_rank]
    values = {}
    for k in ks:
        reached = np.bincount(row[rank < k], found[rank < k], minlength=len(counts))
        ideal = np.bincount(best_row[best_rank < k], best[best_rank < k], minlength=len(counts))
        values[f"nDCG@{k}"] = reached / np.where(ideal > 0, ideal, 1.0)
    return values


def _check(top_labels: Ints, relevance: sp.csr_matrix, inverse_propensity: Floats, ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise ConfigError("the metric depths make no sense", found=list(ks), expected="at least one k, each 1 or more")
    if top_labels.ndim != 2 or len(top_labels) != relevance.shape[0]:
        raise DataError(
            "predictions and true labels disagree about the queries",
            found=f"predictions {top_labels.shape}",
            expected=f"({relevance.shape[0]}, k)",
        )
    if len(inverse_propensity) != relevance.shape[1]:
        raise DataError(
            "every label needs one inverse propensity",
            found=f"{len(inverse_propensity)} values",
            expected=f"{relevance.shape[1]}",
        )
    if top_labels.size and top_labels.max() >= relevance.shape[1]:
        raise DataError(
            "a predicted label does not exist", found=top_labels.max(), expected=f"below {relevance.shape[1]}"
        )


def _true_pairs(relevance: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix without explicit zeros, negative entries and duplicates; the argument is not changed."""
    if relevance.has_canonical_format and (relevance.data > 0).all():
        return relevance
    clean = relevance.copy()
    clean.sum_duplicates()
    clean.data = np.maximum(clean.data, 0)
    clean.eliminate_zeros()
    return clean


def _hits(top_labels: Ints, relevance: sp.csr_matrix, counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Return (row, rank, pair) of every correct prediction, sorted by row and rank.

    The rank counts from 0; the pair is its place among the stored entries of `relevance`.
    """
    ids = np.int32 if relevance.shape[1] < np.iinfo(np.int32).max else np.int64
    top = top_labels.astype(ids)
    true_row = np.repeat(np.arange(len(top), dtype=np.int64), counts)
    true_label = relevance.indices.astype(ids)
    found: list[tuple[Ints, Ints, Ints]] = []
    for begin in range(0, len(true_row), _PAIRS_PER_BLOCK):
        rows, labels = true_row[begin : begin + _PAIRS_PER_BLOCK], true_label[begin : begin + _PAIRS_PER_BLOCK]
        pair, rank = np.nonzero(top[rows] == labels[:, None])
        if len(pair) and (twice := np.flatnonzero(pair[1:] == pair[:-1])).size:
            raise DataError(
                "a prediction list contains a label twice",
                found=f"label {labels[pair[twice[0]]]} in row {rows[pair[twice[0]]]}",
            )
        found.append((rows[pair], rank, begin + pair))
    if not found:
        return (np.zeros(0, dtype=np.int64),) * 3
    row, rank, pair = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(row * top.shape[1] + rank)
    return row[order], rank[order], pair[order]


def _ideal_order(relevance: sp.csr_matrix, counts: Ints, weights: Floats) -> tuple[Ints, Ints, Floats]:
    """Return (row, rank, weight) of the true pairs when each row is ranked by falling weight (of stored pairs)."""
    row = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    order = np.lexsort((-weights, row))
    rank = np.arange(len(row)) - np.repeat(relevance.indptr[:-1].astype(np.int64), counts)
    return row, rank, weights[order]
