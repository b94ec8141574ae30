"""How well labels that training never saw are found, beside the same labels trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.metrics.propensity import label_weights
from vixml.metrics.ranking import query_metrics
from vixml.params.evaluation import EvaluationParams
from vixml.params.retrieval import LabelUpdateParams
from vixml.retrieval.exact import shorten, top_k, unit_rows
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, label_prototypes_for, pool_labels

WAYS = (("mean", "mean"), ("mean", "zero"), ("nearest", "nearest"), ("nearest", "zero"), ("zero", "zero"))
"""(free vector, centroid) of new labels that are compared, as far as the model has them."""

_WORDS = {"free": "free vector", "centroid": "centroid"}


@dataclass(frozen=True)
class ColdStartData:
    """What both models are asked.

    Args:
        relevance_train: Training relevance of the whole data [N, L], for the propensities.
        relevance_test: Ground truth of the whole data [n, L].
        filter_test: Pairs left out of the predictions [n, L].
        evaluation: Metric depths and propensity model.
    """

    relevance_train: sp.csr_matrix
    relevance_test: sp.csr_matrix
    filter_test: sp.csr_matrix
    evaluation: EvaluationParams

    def measure(self, queries: NDArray[Any], prototypes: NDArray[Any], cold: NDArray[np.bool_]) -> dict[str, float]:
        """Rank all labels; return the metrics over the cold labels' pairs (`cold/...`), the others' and all.

        A query counts for a group of labels where it has one of them.
        """
        _, top = top_k(queries, prototypes, self.evaluation.ks[-1], exclude=self.filter_test)
        weights = label_weights(self.relevance_train, self.evaluation)
        result: dict[str, float] = {}
        for group, kept in (("cold", cold), ("trained", ~cold), ("all", np.ones_like(cold))):
            relevance = sp.csr_matrix(self.relevance_test.multiply(kept[None, :].astype(np.float32)))
            relevance.eliminate_zeros()
            asked = np.diff(relevance.indptr) > 0
            means = query_metrics(top[asked], relevance[asked], weights, self.evaluation.ks).mean()
            result |= {f"{group}/{name}": means[name] for name in means if name.split("@")[0] in ("P", "R", "PSP")}
        return result


def cold_start_report(
    full: PredictorBundle,
    full_queries: NDArray[Any],
    reduced: PredictorBundle,
    reduced_queries: NDArray[Any],
    held_out: LabelChanges,
    data: ColdStartData,
) -> list[dict[str, Any]]:
    """Compare the ways of adding held-out labels with a model that was trained on them.

    Args:
        full: Predictor trained on all labels, in the order of `data`.
        full_queries: Test queries embedded by it [n, d].
        reduced: Predictor trained without the held-out labels.
        reduced_queries: The same test queries embedded by that one.
        held_out: The held-out labels, as labels to add.
        data: Ground truth over all labels.

    Returns:
        A row each: `labels` (what was done) and the metrics of `ColdStartData.measure`.

    Raises:
        DataError: The two models do not share queries or labels.
    """
    uids = [*reduced.labels["uid"], *held_out.added]
    position = {uid: row for row, uid in enumerate(uids)}
    if set(uids) != set(full.labels["uid"]) or len(full_queries) != len(reduced_queries):
        raise DataError("the two models do not share labels and queries", remedy="see docs/how-to/new_labels.md.")
    order = np.array([position[uid] for uid in full.labels["uid"]])
    cold = order >= len(reduced.labels)
    rows = [{"labels": "trained on", **data.measure(full_queries, full.label_prototypes, cold)}]
    encoder = reduced.encoder()
    new = pool_labels(encoder, held_out.added, held_out.image_root)
    known = np.asarray(reduced.label_texts)
    trained_rows = reduced.labels["trained_row"].to_numpy()
    names = encoder.model.label_side.vector_names
    for way in dict.fromkeys(tuple(zip(names, ways, strict=False)) for ways in WAYS) if names else ():
        params = LabelUpdateParams.model_validate(dict(way))
        unseen = np.full(len(new), -1)
        added = label_prototypes_for(encoder.model, new, unseen, known, trained_rows, params)
        prototypes = np.concatenate([reduced.label_prototypes, shorten(added, encoder.short_dim)])[order]
        what = "added: " + ", ".join(f"{_WORDS[name]} {how}" for name, how in way)
        rows.append({"labels": what, **data.measure(reduced_queries, prototypes, cold)})
    prototypes = np.concatenate([reduced.label_prototypes, shorten(unit_rows(new), encoder.short_dim)])[order]
    rows.append({"labels": "added: the label's embedding itself", **data.measure(reduced_queries, prototypes, cold)})
    return rows
