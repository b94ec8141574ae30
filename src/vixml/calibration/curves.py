"""Curves from scores to probabilities: steps of the score alone, or a regression on score, margin and rank.

The score alone says little about a query's first label: the same score is high for one query and low for another. The
regression therefore also looks at the distance to the query's best score, at the rank, and at the lead of that best
score over the next ones, and may look at how often the label occurs. A pair counts by 1 / rank in its fit: the many
labels far down a list, nearly all of them wrong, would otherwise decide about the first ones, which people read.

Source: isotonic regression (Zadrozny and Elkan, KDD 2002); logistic regression on scores (Platt, 1999).
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from vixml.metrics.groups import GROUPS, groups_within
from vixml.params.base import Params

_LEAST_SCORE = 1e-9
_WIDTH = 5
LEAD = 5
"""Labels at the head of a list by which the lead of the first one is measured; a list has so many, or all there are."""
_RIVALS = (2, LEAD)


class Steps(Params):
    """A rising curve through points; flat outside of them."""

    scores: tuple[FiniteFloat, ...] = Field(min_length=1)
    probabilities: tuple[FiniteFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.scores) != len(self.probabilities) or not all(0 <= one <= 1 for one in self.probabilities):
            raise ValueError("a curve needs a probability from 0 to 1 for each score")
        return self

    @classmethod
    def fit(cls, scores: NDArray[np.floating], true: NDArray[np.bool_]) -> Steps:
        """Fit by isotonic regression on scores [m] and whether the pairs are true [m]."""
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, true)
        return cls(scores=fitted.X_thresholds_.tolist(), probabilities=fitted.y_thresholds_.tolist())

    def at(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities of scores [m]."""
        return np.interp(scores, self.scores, self.probabilities)


class StepCurve(Params):
    """Steps of the score, pooled, and of their own for head, torso and tail where those have enough pairs."""

    kind: Literal["steps"] = "steps"
    bounds: tuple[int, int]
    """Least training points of a head and of a torso label."""
    pooled: Steps
    groups: dict[str, Steps] = Field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        scores: NDArray[np.floating],
        frequencies: NDArray[np.integer],
        true: NDArray[np.bool_],
        *,
        bounds: tuple[int, int],
        min_pairs: int,
    ) -> StepCurve:
        """Fit on lists of scores, frequencies of their labels, and whether these are true, all [n, k]."""
        real = np.isfinite(scores)
        score, hit, group = scores[real], true[real], groups_within(frequencies, bounds)[real]
        own = {name: group == place for place, name in enumerate(GROUPS)}
        enough = {name: mask for name, mask in own.items() if hit[mask].sum() >= min_pairs}
        groups = {name: Steps.fit(score[mask], hit[mask]) for name, mask in enough.items()}
        return cls(bounds=bounds, pooled=Steps.fit(score, hit), groups=groups)

    def at(self, scores: NDArray[np.floating], frequencies: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the probabilities of lists [n, k], best first; those of padding (-inf) mean nothing."""
        finite = np.where(np.isfinite(scores), scores, 0)
        group, found = groups_within(frequencies, self.bounds), self.pooled.at(finite)
        for place, name in enumerate(GROUPS):
            if name in self.groups:
                found = np.where(group == place, self.groups[name].at(finite), found)
        return found


class RegressionCurve(Params):
    """Logistic regression on score, margin, rank and the query's lead; also on the label's frequency."""

    kind: Literal["regression"] = "regression"
    logarithmic: bool
    """Whether it looks at the logarithm of the score."""
    range: tuple[FiniteFloat, FiniteFloat]
    """Least and largest (logarithm of the) score that it was fitted on; others count as these."""
    by_frequency: bool
    lead: bool = False
    """Whether it looks at the lead of the best score over the second and fifth; earlier versions did not."""
    mean: tuple[FiniteFloat, ...]
    scale: tuple[FiniteFloat, ...]
    weights: tuple[FiniteFloat, ...]
    intercept: FiniteFloat

    @model_validator(mode="after")
    def _fits(self) -> Self:
        width = _WIDTH + self.by_frequency + self.lead * len(_RIVALS)
        if not len(self.mean) == len(self.scale) == len(self.weights) == width or 0 in self.scale:
            raise ValueError(f"a regression needs {width} means, scales and weights")
        return self

    @classmethod
    def fit(
        cls,
        scores: NDArray[np.floating],
        frequencies: NDArray[np.integer],
        true: NDArray[np.bool_],
        *,
        by_frequency: bool,
    ) -> RegressionCurve:
        """Fit on lists of scores, frequencies of their labels, and whether these are true, all [n, k]."""
        from sklearn.linear_model import LogisticRegression

        real = np.isfinite(scores)
        logarithmic = bool((scores[real] > 0).all())
        shown = _shown(scores[real], logarithmic)
        limits = float(shown.min()), float(shown.max())
        table = _features(scores, frequencies, logarithmic, limits, by_frequency, lead=True)[real]
        mean, scale = table.mean(axis=0), table.std(axis=0)
        scale[scale < 1e-9] = 1
        model = LogisticRegression(C=1e3, max_iter=1000)
        model.fit((table - mean) / scale, true[real], sample_weight=rank_weights(scores)[real])
        return cls(
            logarithmic=logarithmic,
            range=limits,
            by_frequency=by_frequency,
            lead=True,
            mean=mean.tolist(),
            scale=scale.tolist(),
            weights=model.coef_[0].tolist(),
            intercept=float(model.intercept_[0]),
        )

    def at(self, scores: NDArray[np.floating], frequencies: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the probabilities of lists [n, k], best first; those of padding (-inf) mean nothing."""
        table = _features(scores, frequencies, self.logarithmic, self.range, self.by_frequency, lead=self.lead)
        logit = ((table - self.mean) / self.scale) @ np.array(self.weights) + self.intercept
        found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        return found


def rank_weights(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what each pair of lists [n, k] counts for: 1 / rank."""
    return np.broadcast_to(1 / np.arange(1, scores.shape[1] + 1), scores.shape)


def _shown(scores: NDArray[Any], logarithmic: bool) -> NDArray[np.float64]:
    wide = np.asarray(scores, dtype=np.float64)
    return np.log(np.maximum(wide, _LEAST_SCORE)) if logarithmic else wide


def _features(
    scores: NDArray[np.floating],
    frequencies: NDArray[np.integer],
    logarithmic: bool,
    limits: tuple[float, float],
    by_frequency: bool,
    *,
    lead: bool,
) -> NDArray[np.float64]:
    """Return the inputs of the regression float64 [n, k, 5 to 8]."""
    shown = np.clip(_shown(np.where(np.isfinite(scores), scores, 0), logarithmic), *limits)
    rank = np.broadcast_to(np.log(np.arange(1, scores.shape[1] + 1)), scores.shape)
    plain = np.exp(shown) if logarithmic else shown
    columns = [shown, shown**2, plain, shown - shown[:, :1], rank]
    if lead:
        last = np.maximum(np.isfinite(scores).sum(axis=1), 1) - 1
        for rival in _RIVALS:
            place = np.minimum(rival - 1, last)[:, None]
            ahead = shown[:, :1] - np.take_along_axis(shown, place, axis=1)
            columns.append(np.broadcast_to(ahead, scores.shape))
    if by_frequency:
        columns.append(np.log1p(np.maximum(frequencies, 0)))
    return np.stack(columns, axis=-1)
