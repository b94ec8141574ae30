"""Is one run better than another, or only luckier with its test queries? A paired bootstrap over the queries.

All runs are resampled with the SAME queries, so what makes a query easy or hard for everybody cancels in a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.metrics.ranking import QueryMetrics

Floats = NDArray[np.float64]

_BLOCK_VALUES = 4_000_000


def resampled_means(columns: Floats, *, samples: int, generator: np.random.Generator) -> Floats:
    """Return the mean of every column over bootstrap samples of the rows.

    A sample is drawn as the COUNT of each row, so that the means of all columns are one matrix product.

    Args:
        columns: Values of n queries, float64 [n, c].
        samples: Bootstrap samples B, at least 1.
        generator: Source of the draws.

    Returns:
        float64 [B, c]; the same resampled queries in one row.
    """
    rows = len(columns)
    if not rows:
        return np.zeros((samples, columns.shape[1]))
    means = np.empty((samples, columns.shape[1]))
    step = max(1, _BLOCK_VALUES // rows)
    for begin in range(0, samples, step):
        size = min(step, samples - begin)
        drawn = generator.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)
        means[begin : begin + size] = counts @ columns / rows
    return means


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap samples of every metric of every run.

    Args:
        runs: Names of the runs, r.
        samples: Metric -> float64 [B, r], fractions.
        means: Metric -> float64 [r], on all queries.
        confidence: Of the intervals, between 0 and 1.
    """

    runs: Sequence[str]
    samples: Mapping[str, Floats]
    means: Mapping[str, Floats]
    confidence: float = 0.95

    def interval(self, metric: str) -> tuple[Floats, Floats]:
        """Return the lower and upper bounds of every run, each [r] (percentile intervals)."""
        return self._bounds(self.samples[metric])

    def pairs(self, metric: str) -> dict[str, Any]:
        """Compare every run (row) with every other one (column).

        Returns:
            `difference`, `low`, `high` [r][r] in fractions, row minus column, and `p` [r][r]: how often the sign of the
            difference flips under resampling, two-sided (not corrected for the number of pairs).
        """
        drawn, mean = self.samples[metric], self.means[metric]
        difference = drawn[:, :, None] - drawn[:, None, :]
        low, high = self._bounds(difference)
        flips = np.minimum((difference <= 0).mean(axis=0), (difference >= 0).mean(axis=0))
        return {
            "difference": (mean[:, None] - mean[None, :]).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "p": np.clip(2 * flips, 1 / len(drawn), 1.0).tolist(),
        }

    def _bounds(self, drawn: Floats) -> tuple[Floats, Floats]:
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        return low, high


def paired_bootstrap(
    runs: Mapping[str, QueryMetrics],
    metrics: Sequence[str],
    *,
    samples: int,
    confidence: float,
    generator: np.random.Generator,
) -> Bootstrap:
    """Resample the test queries and measure every run on the same samples.

    Metrics that are ratios of sums (PSP, PSnDCG: achieved over achievable) are resampled as such: numerator and
    denominator over the same queries.

    Args:
        runs: Metrics of every query, the same n queries in the same order, of each run.
        metrics: Names, for instance "P@1"; each run must have them.
        samples: Bootstrap samples, at least 1.
        confidence: Of the intervals, between 0 and 1.
        generator: Source of the draws.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.
    """
    ones = np.ones(len(next(iter(next(iter(runs.values())).values.values()))))
    tops = [run.values[metric] for metric in metrics for run in runs.values()]
    bottoms = [run.best.get(metric, ones) for metric in metrics for run in runs.values()]
    columns = np.stack([*tops, *bottoms], axis=1).astype(np.float64)
    drawn = _ratio(resampled_means(columns, samples=samples, generator=generator), len(metrics), len(runs))
    means = _ratio(columns.mean(axis=0, keepdims=True), len(metrics), len(runs))[0]
    return Bootstrap(
        runs=list(runs),
        samples={metric: drawn[:, position] for position, metric in enumerate(metrics)},
        means={metric: means[position] for position, metric in enumerate(metrics)},
        confidence=confidence,
    )


def _ratio(values: Floats, num_metrics: int, num_runs: int) -> Floats:
    """Divide numerators by denominators, [B, 2 * metrics * runs] -> [B, metrics, runs]; 0 where that is 0."""
    top, bottom = np.split(values, 2, axis=1)
    ratio = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return ratio.reshape(len(values), num_metrics, num_runs)
