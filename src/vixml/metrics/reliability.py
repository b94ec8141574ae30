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
    """

    count: NDArray[np.int64]
    probability: NDArray[np.float64]
    precision: NDArray[np.float64]

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
        sums = (np.bincount(place, values, bins) for values in (probabilities, true))
        probability, precision = (total / np.maximum(count, 1) for total in sums)
        return cls(count, probability, precision)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of probability and precision, by pairs."""
        distance = np.abs(self.probability - self.precision)
        return float((self.count * distance).sum() / max(1, self.count.sum()))


def log_loss(
    probabilities: NDArray[np.floating], true: NDArray[np.bool_], weights: NDArray[np.floating] | float = 1.0
) -> float:
    """Return the weighted sum of the negative log likelihoods of pairs, in nats."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    return float(-(np.log(np.where(true, clipped, 1 - clipped)) * weights).sum())
