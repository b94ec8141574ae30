"""Balanced spherical clustering: a binary tree of 2-means splits, all nodes of a level at once (NGAME, WSDM 2023)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize


def balanced_clusters(
    embeddings: Tensor, *, size: int, generator: torch.Generator, max_iterations: int = 20, tolerance: float = 1e-4
) -> list[Tensor]:
    """Split points into clusters whose sizes differ by at most one.

    Every node of a tree level is split by spherical 2-means into two halves; a level is a few batched products over
    all points, never a Python loop over nodes.

    Args:
        embeddings: Unit vectors [n, d]; half precision is widened.
        size: Wanted cluster size; the result has 2**depth clusters of at most `size` points.
        generator: CPU stream that draws the initial centres.
        max_iterations: Most 2-means iterations per level.
        tolerance: A level stops when the mean similarity to the centre grows by less.

    Returns:
        Point indices int64 of each cluster, on the CPU, a partition of 0..n-1.
    """
    points = embeddings.float()
    num_points = len(points)
    depth = max(0, math.ceil(math.log2(num_points / size))) if num_points > size else 0
    order = torch.arange(num_points, device=points.device)
    sizes = torch.tensor([num_points])
    for _ in range(depth):
        order, sizes = _split_level(points, order, sizes, generator, max_iterations, tolerance)
    return list(order.cpu().split(sizes.tolist()))


def _split_level(
    points: Tensor, order: Tensor, sizes: Tensor, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Split every node of a level; return the new order of the points and the sizes of the new nodes."""
    device = points.device
    longest = int(sizes.max())
    starts = torch.cumsum(sizes, 0) - sizes
    steps = torch.arange(longest)
    real = steps[None, :] < sizes[:, None]
    slots = torch.where(real, starts[:, None] + steps[None, :], starts[:, None]).to(device)
    real = real.to(device)
    members = order[slots]
    block = points[members] * real[..., None]
    first_half = ((sizes + 1) // 2).to(device)
    side = _two_means(block, real, first_half, sizes, generator, max_iterations, tolerance)
    # A stable sort by (node, side) keeps the order deterministic.
    rank = torch.argsort(side.to(torch.int8) + 2 * (~real).to(torch.int8), dim=1, stable=True)
    new_order = members.gather(1, rank)[real]
    halves = torch.stack([(sizes + 1) // 2, sizes // 2], dim=1).reshape(-1)
    return new_order.reshape(-1), halves[halves > 0]


def _two_means(
    block: Tensor,
    real: Tensor,
    first_half: Tensor,
    sizes: Tensor,
    generator: torch.Generator,
    max_iterations: int,
    tolerance: float,
) -> Tensor:
    """Assign the members [nodes, m] of every node to side 0 (`first_half` of them) or 1; boolean [nodes, m]."""
    device = block.device
    nodes, longest, _ = block.shape
    draw = torch.rand(nodes, 2, generator=generator)
    first = (draw[:, 0] * sizes).long().clamp(max=sizes - 1)
    second = (first + 1 + (draw[:, 1] * (sizes - 1)).long()) % sizes
    rows = torch.arange(nodes)
    centre_a, centre_b = block[rows, first.to(device)], block[rows, second.to(device)]
    previous = -math.inf
    side = torch.zeros(nodes, longest, dtype=torch.bool, device=device)
    for _ in range(max_iterations):
        lean = torch.bmm(block, (centre_a - centre_b)[..., None])[..., 0].masked_fill(~real, -torch.inf)
        rank = torch.argsort(torch.argsort(lean, dim=1, descending=True, stable=True), dim=1)
        side = rank >= first_half[:, None]
        in_a = (~side & real).to(block.dtype)
        in_b = (side & real).to(block.dtype)
        sum_a = torch.bmm(in_a[:, None], block)[:, 0]
        sum_b = torch.bmm(in_b[:, None], block)[:, 0]
        centre_a, centre_b = normalize(sum_a, dim=-1), normalize(sum_b, dim=-1)
        # Mean similarity to the own centre = norm of the sums.
        current = float((sum_a.norm(dim=1) + sum_b.norm(dim=1)).sum() / real.sum())
        if current - previous < tolerance:
            break
        previous = current
    return side
