"""Weights of a blend, fitted on validation queries: one part after the other, as long as something is gained.

It starts from the best single part and accepts only what improves the objective, so on the queries it was fitted on the
blend is never below that part. What a part adds to the others decides whether it is in: a part that adds nothing gets
weight 0. The objective counts the gain of each metric over the best part up to a limit, and a metric that is not
clearly ahead costs much: else a large gain of rare labels would pay for losses at the top. A second fit on each half of
the queries, measured on the other half, tells what to expect on new ones; where the blend does not beat the best part
there, the best part alone is the ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.metrics.ranking import ranking_metrics
from vixml.params.ranking import BlendFitParams, BlendParams, PartParams
from vixml.ranking.blend import DEPTH, Evidence

Metrics = dict[str, float]


def fit_blend(
    parts: Mapping[str, Evidence],
    relevance: sp.csr_matrix,
    inverse_propensity: NDArray[np.float64],
    params: BlendFitParams,
    *,
    exclude: sp.csr_matrix | None = None,
) -> tuple[BlendParams, dict[str, Any]]:
    """Choose weights, sharpness and tail on validation queries; the same result at every run.

    Args:
        parts: Evidence of every part about the validation queries.
        relevance: Their labels, CSR [n, L], n > 0.
        inverse_propensity: Weight of each label float64 [L].
        params: What is tried.
        exclude: Pairs left out of the ranking, CSR [n, L].

    Returns:
        The blend, and a report: `metrics` of the blend, `parts` with the metrics of each alone and its `worth` (what
        the metrics lose without it), `best_part`, `below` (metrics in which a single part is ahead), and `expected`
        (blend and best part on queries that neither was chosen on; with at least 4 queries; `halves` are the blends
        that were fitted on every second query, from the first and from the second one on).
    """
    rows = np.linspace(0, relevance.shape[0] - 1, min(relevance.shape[0], params.max_queries)).astype(np.int64)
    some = {name: _rows(part, rows) for name, part in parts.items()}
    table = _Table.of(some, relevance[rows], inverse_propensity, None if exclude is None else exclude[rows])
    blend, fit = _fit(table, params)
    report: dict[str, Any] = {"queries": len(rows), "expected": None}
    if len(rows) >= 4 and sum(part.weight > 0 for part in blend.parts.values()) > 1:
        expected = report["expected"] = _expected(table, params)
        if expected["gain"] < 0:
            blend = fit.alone(fit.best_part)
    report |= fit.report(blend)
    return blend, report


def _expected(table: _Table, params: BlendFitParams) -> dict[str, Any]:
    """Fit on each half of the queries and measure on the other."""
    blended, best, halves = [], [], []
    for half in (0, 1):
        fitted, fit = _fit(table.take(np.arange(half, len(table.relevance_rows), 2)), params)
        halves.append(fitted.model_dump(mode="json"))
        other = table.take(np.arange(1 - half, len(table.relevance_rows), 2))
        blended.append(other.measure(fitted, params.metrics))
        best.append(other.measure(fit.alone(fit.best_part), params.metrics))
    mean = {name: float(np.mean([half[name] for half in blended])) for name in params.metrics}
    alone = {name: float(np.mean([half[name] for half in best])) for name in params.metrics}
    gain = _value(mean, alone, params)
    return {"blend": mean, "best_part": alone, "gain": gain, "halves": halves}


def _gain(metrics: Metrics, beside: Metrics, name: str) -> float:
    return metrics[name] / max(beside[name], 1e-9) - 1


def _value(metrics: Metrics, beside: Metrics, params: BlendFitParams) -> float:
    """Return the mean of the metrics' gains, each up to the largest that counts."""
    return float(np.mean([min(_gain(metrics, beside, name), params.most_gain) for name in params.metrics]))


@dataclass
class _Fit:
    """The state of a fit: the blend so far, its objective, and the single parts it is compared with."""

    table: _Table
    params: BlendFitParams
    singles: dict[str, Metrics]

    def __post_init__(self) -> None:
        names = self.params.metrics
        self.best_of_any = {name: max(single[name] for single in self.singles.values()) for name in names}
        self.best_part = max(self.singles, key=lambda part: self.objective(self.singles[part]))
        self.blend = self.alone(self.best_part)
        self.value = self.objective(self.singles[self.best_part])

    def alone(self, part: str) -> BlendParams:
        """Return the blend that is one part."""
        scales = self.table.scales
        return BlendParams(parts={name: PartParams(weight=float(name == part), scale=scales[name]) for name in scales})

    def objective(self, metrics: Metrics) -> float:
        """Return the mean gain over the best of any part in each metric, with more weight on losses."""
        return _value(metrics, self.best_of_any, self.params) - self.params.shortfall * float(
            np.mean(
                [max(0.0, self.params.margin - _gain(metrics, self.best_of_any, name)) for name in self.params.metrics]
            )
        )

    def try_each(self, blends: Iterable[BlendParams]) -> bool:
        """Take the best of the blends if it gains enough; of equal ones the first."""
        before = self.value
        for blend in blends:
            if not any(part.weight for part in blend.parts.values()):
                continue
            value = self.objective(self.table.measure(blend, self.params.metrics))
            if value > max(self.value, before + self.params.min_gain):
                self.blend, self.value = blend, value
        return self.value > before

    def drop_idle(self) -> bool:
        """Take out the part whose absence costs least, if it costs next to nothing; never the last part."""
        used = [name for name, part in self.blend.parts.items() if part.weight > 0]
        if len(used) < 2:
            return False
        least = max(used, key=lambda name: self._without(name)[0])
        value, blend = self._without(least)
        start = self.objective(self.singles[self.best_part])
        if value < max(self.value - self.params.min_gain, start):
            return False
        self.blend, self.value = blend, value
        return True

    def report(self, blend: BlendParams) -> dict[str, Any]:
        """Return the blend's metrics, each part's own, and its worth."""
        names = self.params.metrics
        metrics = self.table.measure(blend, names)
        parts: dict[str, Any] = {}
        for name, alone in self.singles.items():
            worth = dict.fromkeys(names, 0.0)
            rest = changed(blend, name, weight=0.0)
            if blend.parts[name].weight and any(part.weight for part in rest.parts.values()):
                without = self.table.measure(rest, names)
                worth = {metric: metrics[metric] - without[metric] for metric in names}
            parts[name] = {"alone": alone, "worth": worth, **blend.parts[name].model_dump()}
        below = {name: self.best_of_any[name] - metrics[name] for name in names}
        return {
            "metrics": metrics,
            "parts": parts,
            "best_part": self.best_part,
            "below": {name: gap for name, gap in below.items() if gap > 0},
        }

    def _without(self, name: str) -> tuple[float, BlendParams]:
        blend = changed(self.blend, name, weight=0.0)
        return self.objective(self.table.measure(blend, self.params.metrics)), blend


def _fit(table: _Table, params: BlendFitParams) -> tuple[BlendParams, _Fit]:
    """Fit from the best part, once with all its settings at a time and once with the weights of all parts first.

    A part that is sharpened before the others join leaves them no room: a weight then has nothing to gain. The better
    of both ways counts, of equal ones the first.
    """
    alone = BlendParams(parts={name: PartParams(scale=scale) for name, scale in table.scales.items()})
    names = list(table.scales)
    singles = {name: table.measure(changed(alone, name, weight=1.0), params.metrics) for name in names}
    fits = [_climb(_Fit(table, params, singles), weights_first=first) for first in (False, True)]
    best = max(fits, key=lambda fit: fit.value)
    return best.blend, best


def _climb(fit: _Fit, *, weights_first: bool) -> _Fit:
    """Change one setting after the other as long as something is gained."""
    params = fit.params
    order = sorted(fit.singles, key=lambda name: -fit.objective(fit.singles[name]))
    if weights_first:
        for name in order:
            fit.try_each([changed(fit.blend, name, weight=weight) for weight in params.weights])
    for _ in range(params.rounds):
        gained = fit.try_each([with_tail(fit.blend, tail) for tail in params.tails])
        for name in order:
            gained |= fit.try_each([changed(fit.blend, name, weight=weight) for weight in params.weights])
            if fit.blend.parts[name].weight:
                gained |= fit.try_each([changed(fit.blend, name, sharpness=value) for value in params.sharpness])
                gained |= fit.try_each([changed(fit.blend, name, tail=tail) for tail in params.tails])
        while fit.drop_idle():
            pass
        if not gained:
            break
    return fit


def changed(blend: BlendParams, name: str, **changes: float) -> BlendParams:
    """Return the blend with other settings of one part."""
    part = blend.parts[name].model_copy(update=changes)
    return blend.model_copy(update={"parts": {**blend.parts, name: part}})


def with_tail(blend: BlendParams, tail: float) -> BlendParams:
    """Return the blend with one exponent of the inverse propensity for all parts."""
    parts = {name: part.model_copy(update={"tail": tail}) for name, part in blend.parts.items()}
    return blend.model_copy(update={"parts": parts})


@dataclass(frozen=True)
class _Table:
    """All parts side by side over the labels that any of them names, padded: column c of query n is one label.

    Args:
        labels: int64 [n, C]; -1 is padding.
        values: Part -> its scores divided by its scale, float32 [n, C]; 0 where it does not name the label.
        mass: Parts whose contributions sum to 1 for each query.
        scales: Part -> mean of its best scores.
        allowed: Whether a label may be ranked bool [n, C].
        relevance: CSR [n, L].
        inverse_propensity: float64 [L].
    """

    labels: NDArray[np.int64]
    values: dict[str, NDArray[np.float32]]
    mass: frozenset[str]
    scales: dict[str, float]
    allowed: NDArray[np.bool_]
    relevance: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        parts: Mapping[str, Evidence],
        relevance: sp.csr_matrix,
        inverse_propensity: NDArray[np.float64],
        exclude: sp.csr_matrix | None = None,
    ) -> _Table:
        """Lay out the best labels of all parts."""
        if not parts:
            raise ConfigError("there is no evidence to rank by")
        short = {name: part.strongest(DEPTH) for name, part in parts.items()}
        named = sp.csr_matrix(sum((abs(part.scores) for part in short.values()), start=sp.csr_matrix(relevance.shape)))
        named.sort_indices()
        counts = np.diff(named.indptr)
        inside = np.arange(counts.max(initial=1)) < counts[:, None]
        labels = np.full(inside.shape, -1, dtype=np.int64)
        labels[inside] = named.indices
        row = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        key = row * relevance.shape[1] + named.indices
        allowed = inside.copy()
        if exclude is not None:
            taken = sp.coo_matrix(exclude)
            allowed[inside] = ~np.isin(key, taken.row.astype(np.int64) * relevance.shape[1] + taken.col)
        values, scales = {}, {}
        for name, part in short.items():
            scales[name] = float(part.top().mean()) or 1.0
            own_row = np.repeat(np.arange(len(counts)), np.diff(part.scores.indptr))
            place = np.searchsorted(key, own_row * relevance.shape[1] + part.scores.indices)
            flat = np.zeros(len(key), dtype=np.float32)
            flat[place] = part.scores.data / np.float32(scales[name])
            values[name] = np.zeros(inside.shape, dtype=np.float32)
            values[name][inside] = flat
        mass = frozenset(name for name, part in parts.items() if part.mass)
        return cls(labels, values, mass, scales, allowed, sp.csr_matrix(relevance), inverse_propensity)

    @property
    def relevance_rows(self) -> NDArray[np.int64]:
        """Rows of the queries."""
        return np.arange(len(self.labels))

    def take(self, rows: NDArray[np.int64]) -> _Table:
        """Return the table of some queries."""
        values = {name: array[rows] for name, array in self.values.items()}
        kept = self.labels[rows], values, self.mass, self.scales, self.allowed[rows], self.relevance[rows]
        return _Table(*kept, self.inverse_propensity)

    def measure(self, blend: BlendParams, names: tuple[str, ...]) -> Metrics:
        """Return the metrics of a blend."""
        depths = sorted({int(name.rpartition("@")[2]) for name in names})
        total: NDArray[np.float32] = np.zeros(self.labels.shape, dtype=np.float32)
        for name, part in blend.parts.items():
            if part.weight:
                values = self.values[name] ** np.float32(part.sharpness) if part.sharpness != 1 else self.values[name]
                share: Any = np.float32(part.weight)
                if name in self.mass:
                    share = share / np.maximum(values.sum(axis=1, keepdims=True), 1e-30)
                if part.tail:
                    share = share * (self.inverse_propensity**part.tail).astype(np.float32)[self.labels]
                total += share * values
        total *= self.allowed
        depth = min(depths[-1], self.labels.shape[1])
        best = np.sort(np.argpartition(-total, depth - 1, axis=1)[:, :depth], axis=1)
        score = np.take_along_axis(total, best, axis=1)
        order = np.argsort(-score, axis=1, kind="stable")
        top = np.take_along_axis(np.take_along_axis(self.labels, best, axis=1), order, axis=1)
        top[np.take_along_axis(score, order, axis=1) <= 0] = -1
        measured = ranking_metrics(top, self.relevance, self.inverse_propensity, depths)
        if unknown := [name for name in names if name not in measured]:
            raise ConfigError("these metrics are not known", found=", ".join(unknown), expected="as P@1, PSP@5, R@10")
        return {name: measured[name] for name in names}


def _rows(part: Evidence, rows: NDArray[np.int64]) -> Evidence:
    return Evidence(sp.csr_matrix(part.scores[rows]), part.mass)
