"""How far probabilities can be trusted: reliability by bins, and the expected calibration error.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017; bins of
equal mass: Nguyen and O'Connor, EMNLP 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of equal width (or of equal numbers of pairs) unless told otherwise."""


@dataclass(frozen=True)
class Reliability:
    """Probabilities by bins.

    Args:
        count: Pairs in each bin int64 [bins].
        probability: Mean probability of each bin float64 [bins]; 0 where it is empty.
        precision: Share of its pairs that are true, likewise.
        deviation: Standard deviation that this share would have if every probability were exactly right, likewise.
    """

    count: NDArray[np.int64]
    probability: NDArray[np.float64]
    precision: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(
        cls, probabilities: NDArray[np.floating], true: NDArray[np.bool_], *, bins: int = BINS, equal_mass: bool = False
    ) -> Reliability:
        """Sort pairs into bins.

        Args:
            probabilities: [m], each from 0 to 1.
            true: Whether the pair is a true one, [m].
            bins: Number of bins.
            equal_mass: Bins of as many pairs each, instead of bins of equal width.
        """
        if equal_mass:
            place = np.empty(len(probabilities), dtype=np.int64)
            place[np.argsort(probabilities, kind="stable")] = np.arange(len(place)) * bins // max(1, len(place))
        else:
            place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
        count = np.bincount(place, minlength=bins)
        values = (probabilities, true, probabilities * (1.0 - probabilities))
        sums = [np.bincount(place, value, bins) for value in values]
        probability, precision, variance = (total / np.maximum(count, 1) for total in sums)
        return cls(count, probability, precision, np.sqrt(variance / np.maximum(count, 1)))

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of probability and precision, by pairs."""
        distance = np.abs(self.probability - self.precision)
        return self._mean(distance)

    @property
    def error_by_chance(self) -> float:
        """The error to expect of so many pairs if every probability were exactly right.

        The mean absolute deviation of a normal variable, by bins. The pairs of a query count as independent; where they
        tend to be right or wrong together, chance does more.
        """
        return self._mean(self.deviation * np.sqrt(2 / np.pi))

    def _mean(self, of_bins: NDArray[np.float64]) -> float:
        return float((self.count * of_bins).sum() / max(1, self.count.sum()))


def log_loss(
    probabilities: NDArray[np.floating], true: NDArray[np.bool_], weights: NDArray[np.floating] | float = 1.0
) -> float:
    """Return the weighted sum of the negative log likelihoods of pairs, in nats."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    return float(-(np.log(np.where(true, clipped, 1 - clipped)) * weights).sum())
