"""A blend of several parts, query by query and label by label, from its definition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vixml.params.ranking import BlendParams


def blend(
    parts: Mapping[str, np.ndarray], mass: frozenset[str], params: BlendParams, inverse_propensity: np.ndarray
) -> np.ndarray:
    """Return dense scores [n, L] from dense evidence (at most 100 labels of each part)."""
    total = np.zeros_like(next(iter(parts.values())), dtype=np.float64)
    for name, part in params.parts.items():
        if not part.weight:
            continue
        for query in range(len(total)):
            values = np.array(
                [(score / part.scale) ** part.sharpness if score > 0 else 0 for score in parts[name][query]]
            )
            if name in mass and values.sum() > 0:
                values = values / values.sum()
            total[query] += part.weight * values * inverse_propensity**part.tail
    return total
