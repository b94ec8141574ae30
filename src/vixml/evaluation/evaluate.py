"""Evaluation of one variant: search, filter, all metrics, and the predictions themselves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated, Calibration
from vixml.calibration.curves import LEAD
from vixml.core.directories import Built, WorkDirectory
from vixml.data.dataset import Dataset
from vixml.evaluation.probabilities import probability_report
from vixml.evaluation.slices import slice_report
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.metrics.ranking import HEADLINE, query_metrics
from vixml.params.evaluation import EvaluationParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described
from vixml.retrieval.augmentation import Ranker


def evaluate_ranking(
    ranker: Ranker | EvidenceRanker,
    queries: NDArray[np.float32],
    *,
    described: Described | None = None,
    dataset: Dataset,
    params: EvaluationParams,
    work: WorkDirectory,
    imageless: NDArray[np.bool_] | None = None,
    calibration: Calibrated | None = None,
) -> tuple[dict[str, Any], Built]:
    """Rank the labels of every test query and measure the ranking.

    Args:
        ranker: What ranks the labels.
        queries: Test query embeddings float32 [n, d].
        described: The queries as a ranking with all evidence sees them.
        dataset: Ground truth and filter of the n test queries, their items for the slices, and the training relevance
            for the propensities.
        params: Depths and propensity model.
        work: Work directory of the predictions.
        imageless: Queries that have no image [n], where the model looks at images.
        calibration: From scores to probabilities, or why there are none; None: nobody asked.

    Returns:
        A result (`metrics` as fractions, `slices`, `milliseconds_per_search`, `queries`, and `metrics_plain` of the
        prototypes alone where the ranking is a blend or has a prior; `probabilities` of `probability_report`), and the
        predictions: `labels.npy` int32 [n, k], `scores.npy` float32 [n, k], best first, -1 where fewer labels remain,
        and `probabilities.npy` float32 [n, k] where there are any.
    """
    exclude, relevance, relevance_train = dataset.filter("test"), dataset.relevance("test"), dataset.relevance("train")
    started = time.perf_counter()
    asked: Any = queries if described is None else described
    deep, k = max(params.top_k, LEAD), params.top_k  # a probability asks for the next labels' scores too
    found, ranked = ranker.search(asked, deep, exclude=exclude, imageless=imageless)
    labels = ranked[:, :k]
    seconds = time.perf_counter() - started
    weights = label_weights(relevance_train, params)
    measured = query_metrics(labels, relevance, weights, params.ks)
    result: dict[str, Any] = {"metrics": measured.mean()}
    if ranker.mode != "none" or ranker.prior is not None:
        _, plain = ranker.labels.search(queries, k, exclude=exclude)
        result["metrics_plain"] = query_metrics(plain, relevance, weights, params.ks).mean()
    frequencies = label_frequencies(relevance_train)
    truth: Any = {"items": dataset.items("test"), "relevance": relevance, "frequencies": frequencies}
    probabilities = _probabilities(calibration, found, ranked, frequencies)[:, :k]
    if calibration is not None:
        result["probabilities"] = probability_report(calibration, probabilities, labels, **truth)
    folder = work.fresh("predictions")
    np.save(folder / "labels.npy", labels.astype(np.int32), allow_pickle=False)
    np.save(folder / "scores.npy", found[:, :k], allow_pickle=False)
    if isinstance(calibration, Calibration):
        np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
    result |= {
        "slices": slice_report(labels, measured, ks=params.ks, names=HEADLINE, **truth),
        "ranking": ranker.mode,
        "queries": len(queries),
        "queries_with_fewer_than_k": int(((labels >= 0).sum(axis=1) < k).sum()),
        "labels": int(relevance_train.shape[1]),
        "milliseconds_per_search": 1000 * seconds / max(1, len(queries)),
    }
    return result, Built(folder, "predictions", {"queries": len(queries), "k": k})


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
