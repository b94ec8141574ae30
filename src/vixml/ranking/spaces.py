"""How much each feature space counts when training queries are compared, chosen on validation queries."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.metrics.ranking import ranking_metrics
from vixml.params.ranking import SpaceFitParams
from vixml.ranking.similarity import Blocks, squared_lengths


def fit_space_weights(
    queries: Blocks,
    keys: Blocks,
    *,
    relevance: sp.csr_matrix,
    key_relevance: sp.csr_matrix,
    exclude: sp.csr_matrix,
    inverse_propensity: NDArray[np.float64],
    params: SpaceFitParams,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Choose the weights of the spaces by what the nearest training queries then say about validation queries.

    The similarities are computed once for each space; a trial only adds them up and lets the nearest vote, which ranks
    weights as the regression over neighbours does, at a fraction of its cost. From equal weights on, one weight after
    the other is changed as long as the mean of the metrics, relative to those of equal weights, grows. Of many
    queries evenly spread ones are taken.

    Args:
        queries: Validation queries in every space, n > 0.
        keys: Training queries in the same spaces.
        relevance: Labels of the validation queries, CSR [n, L].
        key_relevance: Labels of the training queries, CSR [N, L].
        exclude: Pairs left out of the predictions [n, L].
        inverse_propensity: Weight of each label float64 [L].
        params: What is tried.

    Returns:
        Weight of each space, and all trials in order.
    """
    trial = _Trial(queries, keys, relevance, key_relevance, exclude, inverse_propensity, params)
    chosen = dict.fromkeys(sorted(queries), 1.0)
    equal = trial.measure(chosen)
    best, tried = 1.0, [{"weights": chosen, "gain": 0.0, **equal}]
    for _ in range(params.rounds):
        before = best
        for name, weight in itertools.product(sorted(queries), params.weights):
            weights = {**chosen, name: weight}
            if weights == chosen or not any(weights.values()):
                continue
            metrics = trial.measure(weights)
            value = float(np.mean([metrics[metric] / max(equal[metric], 1e-9) for metric in params.metrics]))
            tried.append({"weights": weights, "gain": value - 1, **metrics})
            if value > best + params.min_gain:
                best, chosen = value, weights
        if best == before:
            break
    return chosen, tried


class _Trial:
    """What a trial needs, worked out once: similarities and squared lengths in each space, and the ground truth."""

    def __init__(
        self,
        queries: Blocks,
        keys: Blocks,
        relevance: sp.csr_matrix,
        key_relevance: sp.csr_matrix,
        exclude: sp.csr_matrix,
        inverse_propensity: NDArray[np.float64],
        params: SpaceFitParams,
    ) -> None:
        num, size = relevance.shape[0], key_relevance.shape[0]
        rows, pool = (
            np.linspace(0, count - 1, min(count, most)).astype(np.int64)
            for count, most in ((num, params.max_queries), (size, params.max_keys))
        )
        self._similar = {name: _similarities(queries[name][rows], keys[name][pool]) for name in sorted(queries)}
        self._lengths = {
            name: (squared_lengths(queries[name][rows]), squared_lengths(keys[name][pool])) for name in sorted(queries)
        }
        self._truth, self._exclude = sp.csr_matrix(relevance[rows]), sp.csr_matrix(exclude[rows])
        self._labels = sp.csr_matrix(key_relevance[pool], dtype=np.float32)
        self._inverse_propensity, self._params = inverse_propensity, params
        self._depths = sorted({int(name.rpartition("@")[2]) for name in params.metrics})

    def measure(self, weights: dict[str, float]) -> dict[str, float]:
        """Return the metrics of these weights of the spaces."""
        total = sum(np.float32(weight) * self._similar[name] for name, weight in weights.items() if weight)
        squares = (
            sum(np.float32(weight) * self._lengths[name][side] for name, weight in weights.items()) for side in (0, 1)
        )
        query, key = (np.sqrt(side) for side in squares)
        total /= np.maximum(query[:, None] * key, 1e-12)
        top = _vote(total, self._labels, self._exclude, self._params, self._depths[-1])
        metrics = ranking_metrics(top, self._truth, self._inverse_propensity, self._depths)
        return {name: metrics[name] for name in self._params.metrics}


def _vote(
    similarity: NDArray[np.float32], labels: sp.csr_matrix, exclude: sp.csr_matrix, params: SpaceFitParams, depth: int
) -> NDArray[np.int64]:
    """Return the best labels int64 [n, depth] by votes of the nearest keys, weighted similarity ** power."""
    k = min(params.neighbours, similarity.shape[1])
    near = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    weight = np.maximum(np.take_along_axis(similarity, near, axis=1), 0) ** np.float32(params.power)
    offsets = np.arange(len(near) + 1) * k
    votes = sp.csr_matrix((weight.ravel(), near.ravel(), offsets), shape=(len(near), labels.shape[0])) @ labels
    dense = np.asarray(votes.todense(), dtype=np.float32)
    taken = exclude.tocoo()
    dense[taken.row, taken.col] = 0
    depth = min(depth, dense.shape[1])
    best = np.sort(np.argpartition(-dense, depth - 1, axis=1)[:, :depth], axis=1)
    score = np.take_along_axis(dense, best, axis=1)
    order = np.argsort(-score, axis=1, kind="stable")
    top = np.take_along_axis(best, order, axis=1)
    top[np.take_along_axis(score, order, axis=1) <= 0] = -1
    return top


def _similarities(queries: Any, keys: Any) -> NDArray[np.float32]:
    if sp.issparse(queries):
        return np.asarray((queries @ keys.T.tocsr()).todense(), dtype=np.float32)
    product: NDArray[np.float32] = np.asarray(queries, dtype=np.float32) @ np.asarray(keys, dtype=np.float32).T
    return product
