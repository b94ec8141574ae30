"""Weights, temperatures and neighbours of a fused ranking, chosen on the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.metrics.ranking import ranking_metrics
from vixml.params.retrieval import AugmentationParams, FusionParams
from vixml.retrieval.augmentation import Ranker, sparse_top_k

_MOST = 5_000
_PARTS = ("prototype", "text", "retrieval")


def tune_fusion(
    ranker: Ranker,
    queries: NDArray[np.floating],
    *,
    relevance: sp.csr_matrix,
    exclude: sp.csr_matrix,
    inverse_propensity: NDArray[np.float64],
    ks: Sequence[int],
) -> tuple[AugmentationParams, dict[str, Any]]:
    """Choose the settings of a fused ranking, one group after the other; the searches run once.

    The prototypes keep their weight. First every pair of text and retrieval weights is tried, then every pair of number
    and temperature of the neighbours, then the temperature of prototypes and that of texts, and at last the weights
    again. Each named metric counts relative to the plain ranking's, so that no metric outweighs the others by its size.
    Of equally good settings the first one counts: the result is the same at every run. Of many validation queries 5,000
    are taken, evenly spread.

    Args:
        ranker: A fused ranking.
        queries: Validation queries [n, d], n > 0.
        relevance: Their labels [n, L].
        exclude: Pairs left out of the predictions [n, L].
        inverse_propensity: Weight of each label float64 [L].
        ks: Metric depths.

    Returns:
        The chosen settings, and a report of all that was tried, in order.

    Raises:
        ConfigError: `fusion.metrics` names something that is not measured.
    """
    rows = np.linspace(0, len(queries) - 1, min(len(queries), _MOST)).astype(np.int64)
    trial = _Trial(
        ranker,
        np.asarray(queries)[rows],
        sp.csr_matrix(relevance[rows]),
        sp.csr_matrix(exclude[rows]),
        inverse_propensity,
        ks,
    )
    fusion = ranker.params.fusion
    plain = trial.measure({"prototype": 1.0, "text": 0.0, "retrieval": 0.0})
    chosen: dict[str, Any] = {"prototype": fusion.prototype}
    best, tried = -1.0, []
    for part, group in _groups(fusion):
        if part and not chosen[part]:
            continue
        for settings in [{**chosen, **changes} for changes in group]:
            if not any(settings[name] for name in _PARTS):
                continue
            metrics = trial.measure(settings)
            gain = float(np.mean([metrics[name] / max(plain[name], 1e-9) for name in fusion.metrics]))
            tried.append({**settings, "gain": gain, **metrics})
            if gain > best:
                best, chosen = gain, settings
    tuned = fusion.model_copy(update=chosen)
    return ranker.params.model_copy(update={"fusion": tuned}), {"gain": best, "plain": plain, "tried": tried}


def _groups(fusion: FusionParams) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield settings that are tried together, and the part of the ranking that they are about (none: all)."""
    weights = [{"text": text, "retrieval": near} for text, near in product(sorted(fusion.grid), repeat=2)]
    yield "", weights
    if not fusion.temperatures and not fusion.neighbour_grid:
        return
    sharp = [{"retrieval_temperature": value} for value in sorted(fusion.temperatures)] or [{}]
    near = [{"neighbours": value} for value in sorted(fusion.neighbour_grid)] or [{}]
    yield "retrieval", [{**one, **other} for one, other in product(near, sharp)]
    for part in ("prototype", "text"):
        yield part, [{f"{part}_temperature": value} for value in sorted(fusion.temperatures)]
    yield "", weights


class _Trial:
    """Ranks the validation queries with any settings, from searches that were run once.

    Args:
        ranker: A fused ranking.
        queries: Validation queries [n, d].
        relevance: Their labels [n, L].
        exclude: Pairs left out [n, L].
        inverse_propensity: float64 [L].
        ks: Metric depths.
    """

    def __init__(
        self,
        ranker: Ranker,
        queries: NDArray[np.floating],
        relevance: sp.csr_matrix,
        exclude: sp.csr_matrix,
        inverse_propensity: NDArray[np.float64],
        ks: Sequence[int],
    ) -> None:
        self._ranker, self._relevance, self._exclude = ranker, relevance, exclude
        self._weights, self._ks = inverse_propensity, ks
        deepest = max([ranker.params.depth, *ranker.params.fusion.neighbour_grid])
        blocks = [
            ranker.find(queries[at : at + ranker.block], exclude=exclude[at : at + ranker.block], everything=deepest)
            for at in range(0, len(queries), ranker.block)
        ]
        self._found = {
            name: [np.concatenate(parts) for parts in zip(*(b[name] for b in blocks), strict=True)] for name in _PARTS
        }
        self._spread: dict[tuple[Any, ...], sp.csr_matrix] = {}

    def measure(self, changes: dict[str, Any]) -> dict[str, float]:
        """Return the metrics that are tuned for with `changes` of the fusion's settings."""
        params = self._ranker.params
        fusion = params.fusion.model_copy(update=changes)
        ranker = replace(self._ranker, params=params.model_copy(update={"fusion": fusion}))
        mass = ranker.fuse({name: self._part(ranker, name) for name in _PARTS if getattr(fusion, name)})
        _, top = sparse_top_k(mass, max(self._ks))
        metrics = ranking_metrics(top, self._relevance, self._weights, self._ks)
        unknown = [name for name in fusion.metrics if name not in metrics]
        if unknown:
            raise ConfigError(
                "retrieval.augmentation.fusion.metrics names what is not measured",
                found=", ".join(unknown),
                expected="metrics at the depths of evaluation.ks, as " + ", ".join(list(metrics)[:4]),
            )
        return {name: metrics[name] for name in fusion.metrics}

    def _part(self, ranker: Ranker, name: str) -> sp.csr_matrix:
        fusion = ranker.params.fusion
        key = (name, ranker.params.temperature_of(name), fusion.neighbours if name == "retrieval" else None)
        if key not in self._spread:
            self._spread[key] = ranker.spread(name, *self._found[name], exclude=self._exclude)
        return self._spread[key]
