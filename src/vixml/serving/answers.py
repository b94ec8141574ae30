"""What a predictor answers with, and which of the ranked labels it gives."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Absent, Calibrated, Calibration
from vixml.calibration.precision import Threshold
from vixml.core.errors import ConfigError


@dataclass(frozen=True)
class Prediction:
    """The best labels of one query, best first.

    Args:
        label_ids: The labels' own ids.
        texts: Their texts.
        scores: Their scores, falling; a cosine similarity in [-1, 1], unless the model's ranking blends scores
            or adds a prior to those of a query without an image.
        rows: Their rows in `Predictor.labels`.
        probabilities: How likely each is a true label; None for a label of which validation queries do not tell. They
            need not fall: a ranking favours rare labels. None altogether where the model has none, see
            `Predictor.calibration`.
    """

    label_ids: tuple[str, ...]
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    rows: tuple[int, ...]
    probabilities: tuple[float | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.label_ids)


@dataclass(frozen=True)
class Neighbour:
    """A training query that resembles a query.

    Args:
        query_id: Its id.
        text: Its text.
        similarity: Cosine similarity.
        label_ids: Ids of its labels, ten at most.
        label_texts: Their texts.
        row: Its row in the training items.
    """

    query_id: str
    text: str
    similarity: float
    label_ids: tuple[str, ...]
    label_texts: tuple[str, ...]
    row: int


def whole_number(k: Any) -> int:
    """Return how many labels are wanted.

    Raises:
        ConfigError: It is no whole number, or below 1.
    """
    number = k if isinstance(k, Integral) and not isinstance(k, bool) else 0
    if isinstance(k, float) and k.is_integer():
        number = int(k)
    if number < 1:
        raise ConfigError(
            "a prediction must ask for at least one label", found=f"k = {k}", expected="a whole number of at least 1"
        )
    return int(number)


class Ranked(NamedTuple):
    """Ranked labels of n queries.

    Args:
        vectors: Embeddings of the queries float32 [n, d].
        scores: float32 [n, k], best first, padded with -inf.
        rows: Rows of the labels int64 [n, k], padded with -1.
        probabilities: float32 [n, k], NaN for none; None where the model has none at all.
    """

    vectors: NDArray[np.float32]
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None


@dataclass(frozen=True)
class Selection:
    """Which of a query's `k` ranked labels are given.

    Args:
        min_probability: Only labels at least as likely.
        min_precision: Only labels at or above the probability that kept this precision on the validation queries.
        max_labels: At most so many of those that are left, the first ones.
    """

    min_probability: float | None = None
    min_precision: float | None = None
    max_labels: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("min_probability", 0, 1), ("min_precision", 0, 1), ("max_labels", 1, np.inf)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and low <= value <= high):  # type: ignore[operator]
                raise ConfigError(f"{name} cannot be this", found=value, expected=f"{low} to {high}")

    @property
    def asks_probabilities(self) -> bool:
        """Whether it needs probabilities."""
        return self.min_probability is not None or self.min_precision is not None

    def threshold(self, calibration: Calibrated) -> Threshold | None:
        """Return the threshold that keeps `min_precision`; None where that is not asked for.

        Raises:
            ConfigError: Probabilities are asked for, and the model has none; it says why. Or no threshold keeps the
                precision.
        """
        if not self.asks_probabilities:
            return None
        return None if self.min_precision is None else known(calibration).precision.keeping(self.min_precision)

    def of(self, ranked: Ranked, calibration: Calibrated) -> Ranked:
        """Return the labels that are given, in their order, padded as before.

        Raises:
            ConfigError: See `threshold`.
        """
        kept = ranked.rows >= 0
        if self.asks_probabilities:
            known(calibration)
            threshold = self.threshold(calibration)
            least = max(self.min_probability or 0.0, threshold.probability if threshold else 0.0)
            assert ranked.probabilities is not None
            kept &= ranked.probabilities >= np.float32(least)  # NaN is not
        if self.max_labels is not None:
            kept &= np.cumsum(kept, axis=1) <= self.max_labels
        return _compact(ranked, kept)


def known(calibration: Calibrated) -> Calibration:
    """Return how scores become probabilities.

    Raises:
        ConfigError: The model has none; it says why.
    """
    if isinstance(calibration, Absent):
        raise ConfigError("the model gives no probabilities", remedy=calibration.absent)
    return calibration


def _compact(ranked: Ranked, kept: NDArray[np.bool_]) -> Ranked:
    """Return the kept labels first, padding behind them."""
    if kept.all():
        return ranked
    order = np.argsort(~kept, axis=1, kind="stable")
    sorted_ = np.take_along_axis(kept, order, axis=1)
    scores = np.where(sorted_, np.take_along_axis(ranked.scores, order, axis=1), np.float32(-np.inf))
    rows = np.where(sorted_, np.take_along_axis(ranked.rows, order, axis=1), -1)
    found = ranked.probabilities
    if found is not None:
        found = np.where(sorted_, np.take_along_axis(found, order, axis=1), np.float32(np.nan))
    return ranked._replace(scores=scores, rows=rows, probabilities=found)
