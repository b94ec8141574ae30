"""Evaluation of one variant: search, filter, all metrics, and the predictions themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated, Calibration
from vixml.calibration.curves import LEAD
from vixml.core.directories import Built, WorkDirectory
from vixml.data.dataset import Dataset
from vixml.evaluation.probabilities import probability_report
from vixml.evaluation.search import Searched
from vixml.evaluation.slices import slice_report
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.metrics.ranking import HEADLINE, query_metrics
from vixml.params.evaluation import EvaluationParams


def evaluate_ranking(
    found: Searched,
    *,
    dataset: Dataset,
    params: EvaluationParams,
    work: WorkDirectory,
    calibration: Calibrated | None = None,
) -> tuple[dict[str, Any], Built]:
    """Measure the ranking of the labels of every test query.

    Args:
        found: The ranked labels, `depth_of(params)` of each query.
        dataset: Ground truth and filter of the n test queries, their items for the slices, and the training relevance
            for the propensities.
        params: Depths and propensity model.
        work: Work directory of the predictions.
        calibration: From scores to probabilities, or why there are none; None: nobody asked.

    Returns:
        A result (`metrics` as fractions, `slices`, `milliseconds_per_search`, `queries`, and `metrics_plain` of the
        prototypes alone where the ranking is a blend or has a prior; `probabilities` of `probability_report`), and the
        predictions: `labels.npy` int32 [n, k], `scores.npy` float32 [n, k], best first, -1 where fewer labels remain,
        and `probabilities.npy` float32 [n, k] where there are any.
    """
    relevance, relevance_train, k = dataset.relevance("test"), dataset.relevance("train"), params.top_k
    labels = found.labels[:, :k]
    weights = label_weights(relevance_train, params)
    measured = query_metrics(labels, relevance, weights, params.ks)
    result: dict[str, Any] = {"metrics": measured.mean()}
    if found.plain is not None:
        result["metrics_plain"] = query_metrics(found.plain, relevance, weights, params.ks).mean()
    frequencies = label_frequencies(relevance_train)
    truth: Any = {"items": dataset.items("test"), "relevance": relevance, "frequencies": frequencies}
    probabilities = _probabilities(calibration, found.scores, found.labels, frequencies)[:, :k]
    if calibration is not None:
        result["probabilities"] = probability_report(calibration, probabilities, labels, **truth)
    folder = work.fresh("predictions")
    np.save(folder / "labels.npy", labels.astype(np.int32), allow_pickle=False)
    np.save(folder / "scores.npy", found.scores[:, :k], allow_pickle=False)
    if isinstance(calibration, Calibration):
        np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
    result |= {
        "slices": slice_report(labels, measured, ks=params.ks, names=HEADLINE, **truth),
        "ranking": found.mode,
        "queries": len(labels),
        "queries_with_fewer_than_k": int(((labels >= 0).sum(axis=1) < k).sum()),
        "labels": int(relevance_train.shape[1]),
        "milliseconds_per_search": 1000 * found.seconds / max(1, len(labels)),
    }
    return result, Built(folder, "predictions", {"queries": len(labels), "k": k})


def depth_of(params: EvaluationParams) -> int:
    """Return how many labels of each query are ranked: a probability asks for the next labels' scores too."""
    return max(params.top_k, LEAD)


def _probabilities(
    calibration: Calibrated | None,
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    frequencies: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the probability of each ranked label float32 [n, k]; not a number where there are none."""
    if isinstance(calibration, Calibration):
        return calibration.probabilities(scores, labels, frequencies)
    return np.full(scores.shape, np.nan, dtype=np.float32)
