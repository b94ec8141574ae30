"""Validation on held-out queries during training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.metrics.ranking import ranking_metrics
from vixml.models.dual import DualModel
from vixml.retrieval.exact import top_k
from vixml.training.encode import embed_all, embed_labels
from vixml.training.inputs import ItemSource


@dataclass(frozen=True)
class Validation:
    """Held-out queries.

    Args:
        queries: The queries, n.
        relevance: Relevance [n, L].
        exclude: Pairs to leave out of the predictions [n, L].
        inverse_propensity: float64 [L].
        ks: Depths of the metrics.
    """

    queries: ItemSource
    relevance: sp.csr_matrix
    exclude: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]
    ks: tuple[int, ...] = (1, 5, 10)


def validate(model: DualModel, labels: ItemSource, data: Validation, *, precision: str) -> dict[str, float]:
    """Return the metrics of the current model with its stale centroids if any, by exact search over all labels."""
    _, prototypes = embed_labels(model, labels, precision=precision, desc="validation labels")
    queries = embed_all(model, data.queries, precision=precision, desc="validation queries")
    _, top = top_k(queries, prototypes, max(data.ks), exclude=data.exclude, device=model.device)
    return ranking_metrics(top, data.relevance, data.inverse_propensity, data.ks)
