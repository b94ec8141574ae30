"""Query batches of one epoch: random, or concatenated clusters of similar queries (NGAME, WSDM 2023, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def random_batches(num_points: int, batch_size: int, rng: np.random.Generator) -> list[Ints]:
    """Cut a random permutation of all points into batches; the last ones differ in size by at most one."""
    return _cut(rng.permutation(num_points).astype(np.int64), batch_size)


def cluster_batches(clusters: Sequence[Ints], batch_size: int, rng: np.random.Generator) -> list[Ints]:
    """Shuffle the clusters, concatenate them and cut the row of points into batches.

    Args:
        clusters: Partition of the points.
        batch_size: Most points per batch.
        rng: Random stream of this epoch.
    """
    order = rng.permutation(len(clusters))
    return _cut(np.concatenate([clusters[i] for i in order]), batch_size)


def num_batches(num_points: int, batch_size: int) -> int:
    """Return how many batches an epoch has."""
    return -(-num_points // batch_size)


def _cut(points: Ints, batch_size: int) -> list[Ints]:
    # Even sizes: a tiny last batch would have an easy pool and a noisy gradient.
    return [np.ascontiguousarray(part) for part in np.array_split(points, num_batches(len(points), batch_size))]
