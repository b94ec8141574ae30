"""Choosing and fitting the curve from scores to probabilities on validation queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Absent, Calibrated, Calibration
from vixml.calibration.curves import RegressionCurve, StepCurve, rank_weights
from vixml.calibration.precision import PrecisionCurve
from vixml.metrics.groups import group_bounds
from vixml.metrics.reliability import Reliability, log_loss
from vixml.params.ranking import CalibrationParams

Curve = StepCurve | RegressionCurve
_Fit = Callable[[NDArray[np.int64]], Curve]


def fit_calibration(
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    relevance: sp.csr_matrix,
    frequencies: NDArray[np.int64],
    params: CalibrationParams,
) -> Calibrated:
    """Fit every kind of curve on folds of the queries, and keep the one that tells most of the others.

    All labels of the lists count, the wrong ones too, each by 1 / rank: people read a list from the top. Of two kinds
    with the same log likelihood the simpler one counts.

    Args:
        scores: Scores of the ranking float32 [n, k], best first, padded with -inf; of weights that did not see the
            query, where weights were fitted.
        labels: Its labels int64 [n, k], padded with -1.
        relevance: True pairs of the queries, CSR [n, L].
        frequencies: Training queries of each label int64 [L].
        params: Folds, and how many pairs are enough.
    """
    scores, labels = scores[:, : params.depth], labels[:, : params.depth]
    true, number = true_pairs(labels, relevance), frequencies[labels]
    hits, pairs = int(true.sum()), int((labels >= 0).sum())
    fold = np.arange(len(scores)) % params.folds
    spread = min(len(np.unique(fold[kind.any(axis=1)])) for kind in (true, (labels >= 0) & ~true))
    if min(hits, pairs - hits) < params.min_pairs or spread < 2:
        return Absent(
            absent=f"There are no probabilities: {len(scores)} validation queries with {hits} true pairs among "
            f"{pairs} predicted ones are too few (at least {params.min_pairs} true and as many wrong ones)."
        )
    bounds = group_bounds(frequencies)

    def steps(rows: NDArray[np.int64]) -> Curve:
        few = params.min_group_pairs
        return StepCurve.fit(scores[rows], number[rows], true[rows], bounds=bounds, min_pairs=few)

    def regression(rows: NDArray[np.int64], *, by_frequency: bool) -> Curve:
        return RegressionCurve.fit(scores[rows], number[rows], true[rows], by_frequency=by_frequency)

    kinds: dict[str, _Fit] = {
        "regression": lambda rows: regression(rows, by_frequency=False),
        "regression with frequency": lambda rows: regression(rows, by_frequency=True),
        "steps": steps,
    }
    unseen = {name: _unseen(fit, scores, number, fold) for name, fit in kinds.items()}
    real = labels >= 0
    share = rank_weights(scores)[real]
    losses = {name: log_loss(found[real], true[real], share) / len(scores) for name, found in unseen.items()}
    best = min(losses, key=losses.__getitem__)
    found = np.where(real, unseen[best], np.nan)
    curve = PrecisionCurve.of(found, true, pairs=int(relevance.nnz), confidence=params.interval_confidence)
    report: dict[str, Any] = {
        "kind": best,
        "log_loss": losses,
        "calibration_error": {name: Reliability.of(one[real], true[real]).error for name, one in unseen.items()},
        "queries": len(scores),
        "pairs": pairs,
        "true_pairs": hits,
    }
    return Calibration(curve=kinds[best](np.arange(len(scores))), precision=curve, report=report)


def true_pairs(labels: NDArray[np.integer], relevance: sp.csr_matrix) -> NDArray[np.bool_]:
    """Return which labels of lists [n, k] (-1 is padding) are true, bool [n, k].

    Args:
        labels: Lists of labels.
        relevance: True pairs, CSR [n, L]; entries above 0.
    """
    kept = sp.csr_matrix(relevance, copy=True)
    kept.data = kept.data > 0
    kept.eliminate_zeros()
    width = relevance.shape[1]
    row = np.repeat(np.arange(len(labels), dtype=np.int64), np.diff(kept.indptr))
    asked = np.arange(len(labels), dtype=np.int64)[:, None] * width + labels
    return np.isin(asked, row * width + kept.indices) & (labels >= 0)


def _unseen(
    fit: _Fit, scores: NDArray[np.float32], number: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the probabilities of each query by a curve that was fitted on the other folds."""
    found = np.zeros(scores.shape)
    for part in np.unique(fold):
        rows = np.flatnonzero(fold == part)
        found[rows] = fit(np.flatnonzero(fold != part)).at(scores[rows], number[rows])
    return found
