"""Weights of a fused ranking, chosen on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.evaluation.metrics import ranking_metrics
from vixml.params.retrieval import AugmentationParams
from vixml.retrieval.augmentation import Ranker, sparse_top_k


def tune_fusion(
    ranker: Ranker,
    queries: NDArray[np.floating],
    *,
    relevance: sp.csr_matrix,
    exclude: sp.csr_matrix,
    inverse_propensity: NDArray[np.float64],
    ks: Sequence[int],
) -> tuple[AugmentationParams, dict[str, Any]]:
    """Try every pair of text and retrieval weights of the grid; the searches run once.

    Each named metric counts relative to the plain ranking's, so that no metric outweighs the others by its size. Of
    equally good pairs the first one counts, the smallest weights: the result is the same at every run.

    Args:
        ranker: A fused ranking.
        queries: Validation queries [n, d], n > 0.
        relevance: Their labels [n, L].
        exclude: Pairs left out of the predictions [n, L].
        inverse_propensity: Weight of each label float64 [L].
        ks: Metric depths.

    Returns:
        The settings with the chosen weights, and a report of all that was tried.

    Raises:
        ConfigError: `fusion.metrics` names something that is not measured.
    """
    fusion = ranker.params.fusion
    blocks = [
        ranker.parts(queries[at : at + ranker.block], exclude=exclude[at : at + ranker.block], everything=True)
        for at in range(0, len(queries), ranker.block)
    ]
    parts = {name: sp.csr_matrix(sp.vstack([block[name] for block in blocks])) for name in blocks[0]}

    def measure(weights: dict[str, float]) -> tuple[AugmentationParams, dict[str, float]]:
        settings = ranker.params.model_copy(update={"fusion": fusion.model_copy(update=weights)})
        _, top = sparse_top_k(replace(ranker, params=settings).fuse(parts), max(ks))
        metrics = ranking_metrics(top, relevance, inverse_propensity, ks)
        unknown = [name for name in fusion.metrics if name not in metrics]
        if unknown:
            raise ConfigError(
                "retrieval.augmentation.fusion.metrics names what is not measured",
                found=", ".join(unknown),
                expected="metrics at the depths of evaluation.ks, as " + ", ".join(list(metrics)[:4]),
            )
        return settings, {name: metrics[name] for name in fusion.metrics}

    _, plain = measure({"prototype": 1.0, "text": 0.0, "retrieval": 0.0})
    best, tried = (-1.0, ranker.params), []
    for text in sorted(fusion.grid):
        for retrieval in sorted(fusion.grid):
            settings, metrics = measure({"prototype": 1.0, "text": text, "retrieval": retrieval})
            gain = float(np.mean([metrics[name] / max(plain[name], 1e-9) for name in fusion.metrics]))
            tried.append({"text": text, "retrieval": retrieval, "gain": gain, **metrics})
            if gain > best[0]:
                best = gain, settings
    return best[1], {"gain": best[0], "plain": plain, "tried": tried}
