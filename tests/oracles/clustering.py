"""Balanced spherical 2-means, split node by node: slow and obvious."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def balanced_clusters(
    points: torch.Tensor, *, size: int, generator: torch.Generator, max_iterations: int = 20, tolerance: float = 1e-4
) -> list[torch.Tensor]:
    """Return the point indices of each cluster of at most `size` points."""
    level = [torch.arange(len(points))]
    while max(map(len, level)) > size:
        level = [
            part for node in level for part in _split(points, node, generator, max_iterations, tolerance) if len(part)
        ]
    return level


def _split(
    points: torch.Tensor, node: torch.Tensor, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    members = points[node]
    centres = members[torch.randperm(len(node), generator=generator)[:2]]
    half, previous = (len(node) + 1) // 2, -1.0
    order = torch.arange(len(node))
    for _ in range(max_iterations if len(node) > 1 else 0):
        order = torch.argsort(members @ (centres[0] - centres[1]), descending=True, stable=True)
        sums = torch.stack([members[order[:half]].sum(0), members[order[half:]].sum(0)])
        centres = normalize(sums, dim=1)
        current = float(sums.norm(dim=1).sum() / len(node))
        if current - previous < tolerance:
            break
        previous = current
    return node[order[:half]], node[order[half:]]


def mean_cosine(points: torch.Tensor, clusters: list[torch.Tensor]) -> float:
    """Return the mean similarity of a point to the centre of its cluster."""
    return float(sum(points[c].sum(0).norm() for c in clusters) / len(points))
