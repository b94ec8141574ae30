"""Thresholds of probability that keep a precision, found on validation queries, with an interval.

Pairs of one query are right or wrong together, so they count for less than as many pairs of different queries: the
interval is Wilson's for the effective number of pairs, which follows from how much precision varies between queries.

Source: Wilson, JASA 1927; design effect of clustered samples: Kish, Survey Sampling, 1965.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from vixml.core.errors import ConfigError
from vixml.params.base import Params

_GRID = 200


@dataclass(frozen=True)
class Threshold:
    """What was measured of the pairs at and above a probability.

    Args:
        probability: The threshold.
        precision: Share of these pairs that are true.
        low: Lower end of its interval.
        high: Upper end.
        answered: Share of the queries with at least one such pair.
        labels_per_query: Such pairs a query.
        recall: Share of all true pairs that are among them.
    """

    probability: float
    precision: float
    low: float
    high: float
    answered: float
    labels_per_query: float
    recall: float

    def facts(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


class PrecisionCurve(Params):
    """Precision and coverage at thresholds of probability, by rising threshold."""

    queries: int = Field(ge=1)
    pairs: int = Field(ge=0)
    """True pairs of these queries, whether a ranking named them or not."""
    confidence: float = Field(gt=0, lt=1)
    probability: tuple[FiniteFloat, ...] = Field(min_length=1)
    named: tuple[int, ...]
    """Pairs at and above each threshold."""
    true: tuple[int, ...]
    """True ones among them."""
    effective: tuple[FiniteFloat, ...]
    """Independent pairs that they are worth."""
    answered: tuple[int, ...]
    """Queries with at least one."""

    @model_validator(mode="after")
    def _paired(self) -> Self:
        columns = (self.probability, self.named, self.true, self.effective, self.answered)
        if len({len(column) for column in columns}) != 1 or min(*self.named, *self.effective) <= 0:
            raise ValueError("a precision curve needs as many positive counts as thresholds")
        return self

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.floating],
        true: NDArray[np.bool_],
        *,
        pairs: int,
        confidence: float,
        thresholds: NDArray[np.floating] | None = None,
    ) -> PrecisionCurve:
        """Measure the precision of lists.

        Args:
            probabilities: Of each pair [n, k]; NaN for none.
            true: Whether it is a true one [n, k].
            pairs: True pairs of these queries in all.
            confidence: Of the intervals.
            thresholds: Increasing; default those that divide the pairs evenly by the logarithm of their number.
        """
        filled = np.nan_to_num(np.asarray(probabilities, dtype=np.float64), nan=-1.0)
        falling = np.sort(filled[filled >= 0])[::-1]
        if thresholds is None:
            places = np.unique(np.geomspace(1, max(1, len(falling)), _GRID).astype(np.int64)) - 1
            thresholds = np.unique(falling[places])
        rows: dict[str, list[Any]] = {name: [] for name in ("probability", "named", "true", "effective", "answered")}
        for threshold in thresholds.tolist():
            chosen = filled >= threshold
            named, hits = chosen.sum(axis=1), (chosen & true).sum(axis=1)
            if not named.any():
                continue
            values = (threshold, int(named.sum()), int(hits.sum()), _effective(named, hits), int((named > 0).sum()))
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
        return cls(queries=len(filled), pairs=pairs, confidence=confidence, **rows)

    def at(self, place: int) -> Threshold:
        """Return what was measured at one of the thresholds."""
        precision = self.true[place] / self.named[place]
        low, high = wilson(precision, self.effective[place], self.confidence)
        return Threshold(
            self.probability[place],
            precision,
            low,
            high,
            self.answered[place] / self.queries,
            self.named[place] / self.queries,
            self.true[place] / max(1, self.pairs),
        )

    def keeping(self, precision: float) -> Threshold:
        """Return the lowest threshold whose interval lies at or above a precision.

        Raises:
            ConfigError: It does not exist.
        """
        every = [self.at(place) for place in range(len(self.probability))]
        kept = [one for one in every if one.low >= precision]
        if kept:
            return min(kept, key=lambda one: one.probability)
        best = max(every, key=lambda one: one.low)
        raise ConfigError(
            "no threshold keeps this precision on the validation queries for sure (the interval's lower end counts)",
            found=f"precision at least {precision:g}; the best interval is {best.low:.3f} to {best.high:.3f}",
            remedy=f"ask for {np.floor(100 * best.low) / 100:g} or less, or give min_probability instead.",
        )


def wilson(share: float, number: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of `number` independent pairs."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    spread = z * np.sqrt(share * (1 - share) / number + z * z / (4 * number * number)) / (1 + z * z / number)
    return max(0.0, float(centre - spread)), min(1.0, float(centre + spread))


def _effective(named: NDArray[np.integer], hits: NDArray[np.integer]) -> float:
    """Return how many independent pairs the pairs of queries [n] are worth: at most as many as they are."""
    total, share = int(named.sum()), hits.sum() / named.sum()
    asked = int((named > 0).sum())
    if share in (0, 1) or asked < 2:
        return float(asked)
    between = asked / (asked - 1) * np.square(hits - share * named).sum() / total**2
    return float(min(total, max(1.0, share * (1 - share) / max(between, 1e-30))))
