"""Evaluation of one variant: search, filter, all metrics, and the predictions themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated, Calibration
from vixml.calibration.curves import LEAD
from vixml.core.directories import Built, WorkDirectory
from vixml.evaluation.probabilities import probability_report
from vixml.evaluation.slices import slice_report
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.metrics.ranking import HEADLINE, query_metrics
from vixml.params.evaluation import EvaluationParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described
from vixml.retrieval.augmentation import Ranker

if TYPE_CHECKING:
    import pandas as pd


def evaluate_ranking(
    ranker: Ranker | EvidenceRanker,
    queries: NDArray[np.float32],
    *,
    described: Described | None = None,
    items: pd.DataFrame,
    relevance_test: sp.csr_matrix,
    relevance_train: sp.csr_matrix,
    filter_test: sp.csr_matrix,
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
        items: Test queries with columns `text` and `images`, n rows, for the slices.
        relevance_test: Ground truth [n, L].
        relevance_train: Training relevance [N, L], for the propensities.
        filter_test: Pairs removed from the predictions [n, L].
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
    started = time.perf_counter()
    asked: Any = queries if described is None else described
    deep, k = max(params.top_k, LEAD), params.top_k  # a probability asks for the next labels' scores too
    found, ranked = ranker.search(asked, deep, exclude=filter_test, imageless=imageless)
    scores, labels = found[:, :k], ranked[:, :k]
    seconds = time.perf_counter() - started
    weights = label_weights(relevance_train, params)
    measured = query_metrics(labels, relevance_test, weights, params.ks)
    metrics: dict[str, Any] = {"metrics": measured.mean()}
    if ranker.mode != "none" or ranker.prior is not None:
        _, plain = ranker.labels.search(queries, params.top_k, exclude=filter_test)
        metrics["metrics_plain"] = query_metrics(plain, relevance_test, weights, params.ks).mean()
    frequencies = label_frequencies(relevance_train)
    folder = work.fresh("predictions")
    np.save(folder / "labels.npy", labels.astype(np.int32), allow_pickle=False)
    np.save(folder / "scores.npy", scores, allow_pickle=False)
    if calibration is not None:
        probabilities = np.full(scores.shape, np.nan, dtype=np.float32)
        if isinstance(calibration, Calibration):
            probabilities = calibration.probabilities(found, ranked, frequencies)[:, :k]
            np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
        same: Any = {"items": items, "relevance": relevance_test, "frequencies": frequencies}
        metrics["probabilities"] = probability_report(calibration, probabilities, labels, **same)
    result = {
        **metrics,
        "slices": slice_report(
            labels,
            measured,
            items=items,
            relevance=relevance_test,
            frequencies=frequencies,
            ks=params.ks,
            names=HEADLINE,
        ),
        "ranking": ranker.mode,
        "queries": len(queries),
        "queries_with_fewer_than_k": int(((labels >= 0).sum(axis=1) < params.top_k).sum()),
        "labels": int(relevance_train.shape[1]),
        "milliseconds_per_search": 1000 * seconds / max(1, len(queries)),
    }
    return result, Built(folder, "predictions", {"queries": len(queries), "k": params.top_k})
