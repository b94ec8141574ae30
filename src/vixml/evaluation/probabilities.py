"""How far the probabilities of test predictions hold: reliability, coverage against precision, kept precisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Absent, Calibrated
from vixml.calibration.fit import true_pairs
from vixml.calibration.precision import PrecisionCurve
from vixml.core.errors import ConfigError
from vixml.evaluation.slices import query_masks
from vixml.metrics.groups import GROUPS, label_groups
from vixml.metrics.reliability import BINS, Reliability

if TYPE_CHECKING:
    import pandas as pd

DEPTHS = (1, 5, 10, 100)
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Precisions that thresholds are asked for."""
DRAWN = 10
"""Labels of each query that reliability is drawn over: most of the later ones have a probability near 0."""
_THRESHOLDS = np.append(np.arange(1, 20) / 20, 0.99)

Probabilities = NDArray[np.float32]
Mask = NDArray[np.bool_]


def probability_report(
    calibration: Calibrated,
    probabilities: Probabilities,
    labels: NDArray[np.integer],
    *,
    items: pd.DataFrame,
    relevance: sp.csr_matrix,
    frequencies: NDArray[np.integer],
) -> dict[str, Any]:
    """Return what the probabilities of test queries turned out to be worth.

    Args:
        calibration: Where they come from.
        probabilities: Of each predicted label [n, k]; NaN for none.
        labels: Predicted labels, best first [n, k]; -1 is padding.
        items: Test queries with columns `text` and `images`, n rows.
        relevance: Ground truth, CSR [n, L].
        frequencies: Training queries of each label [L].

    Returns:
        `absent` (why there are no probabilities) alone, or `fit` (how they were fitted), `bins`, `errors` (expected
        calibration error over the first 1, 5, ... labels of each query, and what chance alone would make of it),
        `reliability` (group of labels -> for each bin that is not empty: mean probability, precision, pairs; over the
        first `drawn` labels), `coverage` (slice -> for each threshold what `Threshold` says) and `kept` (for each
        wanted precision the threshold that validation found, with its interval, and what it keeps on the test
        queries).
    """
    if isinstance(calibration, Absent):
        return {"absent": calibration.absent}
    true = true_pairs(labels, relevance)
    real = np.isfinite(probabilities)
    confidence = calibration.precision.confidence
    depths = [depth for depth in DEPTHS if depth < labels.shape[1]] + [labels.shape[1]]
    groups = label_groups(frequencies)[labels]
    drawn = real & (np.arange(labels.shape[1]) < DRAWN)
    selections = {"all": drawn, **{name: drawn & (groups == place) for place, name in enumerate(GROUPS)}}
    return {
        "fit": calibration.report,
        "bins": BINS,
        "drawn": min(DRAWN, labels.shape[1]),
        "errors": {f"@{one}": _errors(probabilities[:, :one], true[:, :one], real[:, :one]) for one in depths},
        "reliability": {name: _points(probabilities[mask], true[mask]) for name, mask in selections.items()},
        "coverage": _coverage(probabilities, true, groups, items, relevance, frequencies, confidence),
        "kept": [_kept(calibration.precision, target, probabilities, true, relevance.nnz) for target in TARGETS],
    }


def _errors(probabilities: Probabilities, true: Mask, real: Mask) -> dict[str, Any]:
    some, hits = probabilities[real], true[real]
    found = Reliability.of(some, hits)
    return {
        "pairs": int(real.sum()),
        "equal_width": found.error,
        "by_chance": found.error_by_chance,
        "equal_mass": Reliability.of(some, hits, equal_mass=True).error,
        "mean_probability": float(some.mean()) if len(some) else 0.0,
        "precision": float(hits.mean()) if len(hits) else 0.0,
    }


def _points(probabilities: Probabilities, true: Mask) -> list[list[float]]:
    found = Reliability.of(probabilities, true)
    rows = zip(found.probability.tolist(), found.precision.tolist(), found.count.tolist(), strict=True)
    return [[probability, precision, count] for probability, precision, count in rows if count]


def _coverage(
    probabilities: Probabilities,
    true: Mask,
    groups: NDArray[np.int8],
    items: pd.DataFrame,
    relevance: sp.csr_matrix,
    frequencies: NDArray[np.integer],
    confidence: float,
) -> dict[str, list[dict[str, float]]]:
    """Return of each slice of labels and of queries what each threshold keeps."""
    of_label, per_query = label_groups(frequencies), np.diff(relevance.indptr)
    slices = {"all": (probabilities, true, int(relevance.nnz))}
    for place, name in enumerate(GROUPS):
        own = np.where(groups == place, probabilities, np.float32(np.nan))
        slices[name] = (own, true, int((of_label[relevance.indices] == place).sum()))
    for name, mask in query_masks(items).items():
        slices[name] = (probabilities[mask], true[mask], int(per_query[mask].sum()))
    found = {}
    for name, (some, hits, pairs) in slices.items():
        curve = _curve(some, hits, pairs, confidence, _THRESHOLDS)
        if curve is not None:
            found[name] = [curve.at(place).facts() for place in range(len(curve.probability))]
    return found


def _kept(
    promised: PrecisionCurve, target: float, probabilities: Probabilities, true: Mask, pairs: int
) -> dict[str, Any]:
    """Return a precision that validation promises to keep, and what its threshold keeps."""
    try:
        threshold = promised.keeping(target)
    except ConfigError as err:
        return {"target": target, "reason": err.plain()}
    curve = _curve(probabilities, true, pairs, promised.confidence, np.array([threshold.probability]))
    measured = None if curve is None else curve.at(0).facts()
    return {"target": target, "validation": threshold.facts(), "test": measured}


def _curve(
    probabilities: Probabilities, true: Mask, pairs: int, confidence: float, thresholds: NDArray[np.floating]
) -> PrecisionCurve | None:
    """Return the curve; None where no pair reaches a threshold."""
    if not (probabilities >= thresholds.min()).any():  # NaN is not
        return None
    return PrecisionCurve.of(probabilities, true, pairs=pairs, confidence=confidence, thresholds=thresholds)
