"""The metrics, computed row by row from their definitions: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np
from scipy import sparse


def ranking_metrics(
    top_labels: np.ndarray, relevance: sparse.csr_matrix, inverse_propensity: np.ndarray, ks: Sequence[int]
) -> dict[str, float]:
    """Return the same dictionary as `vixml.metrics.ranking.ranking_metrics`."""
    result = {}
    for k in ks:
        rows = [
            _query(
                top_labels[i],
                dict(zip(relevance[i].indices.tolist(), relevance[i].data.tolist(), strict=True)),
                inverse_propensity,
                k,
            )
            for i in range(len(top_labels))
        ]
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        for name in ("PSP", "PSnDCG"):
            best = mean.pop(f"best {name}")
            mean[name] = mean[name] / best if best > 0 else 0.0
        result |= {f"{name}@{k}": value for name, value in mean.items()}
    return result


def _query(top: np.ndarray, true: dict[int, float], weights: np.ndarray, k: int) -> dict[str, float]:
    hits = [(rank, int(label)) for rank, label in enumerate(top[:k]) if label in true]
    ideal = sum(1 / log2(rank + 2) for rank in range(min(k, len(true)))) or 1.0
    gains = sorted(true.values(), reverse=True)[:k]
    best_gain = sum(gain / log2(rank + 2) for rank, gain in enumerate(gains)) or 1.0
    rarest = sorted((weights[label] for label in true), reverse=True)[:k]
    return {
        "P": len(hits) / k,
        "PSP": sum(weights[label] for _, label in hits) / k,
        "best PSP": sum(rarest) / k,
        "nDCG": sum(true[label] / log2(rank + 2) for rank, label in hits) / best_gain,
        "PSnDCG": sum(weights[label] / log2(rank + 2) for rank, label in hits) / ideal,
        "best PSnDCG": sum(weight / log2(rank + 2) for rank, weight in enumerate(rarest)) / ideal,
        "R": len(hits) / len(true) if true else 0.0,
        "Hit": float(bool(hits)),
        "MRR": 1 / (hits[0][0] + 1) if hits else 0.0,
        "MAP": sum((number + 1) / (rank + 1) for number, (rank, _) in enumerate(hits)) / max(min(k, len(true)), 1),
    }
