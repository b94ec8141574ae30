"""Batches of clusters: every point once an epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from vixml.negatives.batches import cluster_batches, random_batches
from vixml.retrieval.clustering import balanced_clusters


def _points(count: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize(("count", "size"), [(100, 32), (7, 10), (64, 32)])
def test_batches_cover_every_point_once(count: int, size: int) -> None:
    """Random and clustered batches are partitions of even size."""
    clusters = [c.numpy() for c in balanced_clusters(_points(count), size=8, generator=torch.Generator())]
    for batches in (
        random_batches(count, size, np.random.default_rng(0)),
        cluster_batches(clusters, size, np.random.default_rng(0)),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert max(map(len, batches)) <= size
        assert max(map(len, batches)) - min(map(len, batches)) <= 1
