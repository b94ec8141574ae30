"""Balanced spherical clustering: a binary tree of 2-means splits, all nodes of a level at once (NGAME, WSDM 2023).

What costs is reading all points, so they are read few times. A node of at most 256 points is split through its Gram
matrix, which holds all that 2-means needs. A larger node gets its centres from 256 of its points in the same way, and
a few passes over all of them make these exact.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

_SAMPLE = 256


def balanced_clusters(
    embeddings: Tensor, *, size: int, generator: torch.Generator, max_iterations: int = 20, tolerance: float = 2e-5
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
    # One buffer for all levels: a node is padded by one row at most.
    buffer = points.new_empty(num_points + 2**depth, points.shape[1]) if depth else points
    for _ in range(depth):
        order, sizes = _split_level(points, order, sizes, buffer, generator, max_iterations, tolerance)
    return list(order.cpu().split(sizes.tolist()))


def _split_level(
    points: Tensor,
    order: Tensor,
    sizes: Tensor,
    buffer: Tensor,
    generator: torch.Generator,
    max_iterations: int,
    tolerance: float,
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
    block = buffer[: members.numel()]
    torch.index_select(points, 0, members.view(-1), out=block)
    block = block.view(*members.shape, -1)
    block[~real] = 0
    # Two different members of each node, as places in an evenly spread sample of it.
    stride = -(-longest // _SAMPLE)
    in_sample = (sizes + stride - 1) // stride
    draw = torch.rand(len(sizes), 2, generator=generator)
    first = (draw[:, 0] * in_sample).long().clamp(max=in_sample - 1)
    second = (first + 1 + (draw[:, 1] * (in_sample - 1)).long()) % in_sample
    seeds = torch.stack([first, second], dim=1).to(device)
    rank = _two_means_of_gram(block[:, ::stride], real[:, ::stride], seeds, max_iterations, tolerance)
    if stride > 1:
        rank = _two_means(block, real, rank, stride, max_iterations, tolerance)
    new_order = members.gather(1, rank)[real]
    halves = torch.stack([(sizes + 1) // 2, sizes // 2], dim=1).reshape(-1)
    return new_order, halves[halves > 0]


def _two_means_of_gram(block: Tensor, real: Tensor, seeds: Tensor, max_iterations: int, tolerance: float) -> Tensor:
    """Split small nodes; the members of a side enter only through their products with each other.

    Args:
        block: Members [nodes, m, d], zero beyond a node's size.
        real: Which of them exist [nodes, m].
        seeds: Place of the two initial centres [nodes, 2].
        max_iterations: Most iterations.
        tolerance: See `balanced_clusters`.

    Returns:
        Members of each node int64 [nodes, m], side A before side B before what does not exist.
    """
    gram = torch.bmm(block, block.mT)
    sides = torch.zeros(len(real), 2, real.shape[1], device=block.device).scatter_(2, seeds[..., None], 1.0)
    previous = -math.inf
    rank = seeds
    for iteration in range(max_iterations):
        products = torch.bmm(sides, gram)  # of each member with the sums of both sides
        norms = (products * sides).sum(dim=2).clamp(min=1e-12).sqrt()
        lean = products / norms[..., None]
        rank = _by_lean(lean[:, 0] - lean[:, 1], real)
        current = float(norms.sum() / real.sum())
        # The first two "sides" are single points, which are no split of the node yet.
        if iteration > 1 and current - previous < tolerance:
            break
        previous = current
        sides = _sides(rank, real)
    return rank


def _two_means(
    block: Tensor, real: Tensor, sample_rank: Tensor, stride: int, max_iterations: int, tolerance: float
) -> Tensor:
    """Split large nodes, starting at the split of every `stride`-th member; see `_two_means_of_gram`."""
    sample, sample_real = block[:, ::stride], real[:, ::stride]
    sums = torch.bmm(_sides(sample_rank, sample_real), sample)
    total = block.sum(dim=1)
    previous, rank = -math.inf, sample_rank
    for _ in range(max_iterations):
        centres = normalize(sums, dim=-1)
        rank = _by_lean(_products(block, centres[:, 0] - centres[:, 1]), real)
        sum_a = torch.bmm(_sides(rank, real)[:, :1], block)[:, 0]
        sums = torch.stack([sum_a, total - sum_a], dim=1)
        # Mean similarity to the own centre = norm of the sums.
        current = float(sums.norm(dim=2).sum() / real.sum())
        if current - previous < tolerance:
            break
        previous = current
    return rank


def _products(block: Tensor, vectors: Tensor) -> Tensor:
    """Return the products of the members [nodes, m, d] with their node's vector [nodes, d], as [nodes, m]."""
    if block.is_cuda:
        return torch.bmm(block, vectors[..., None])[..., 0]
    # The nodes are large here and few; a CPU's batched product of this shape is three times slower than this.
    return torch.stack([torch.mv(members, vector) for members, vector in zip(block, vectors, strict=True)])


def _by_lean(lean: Tensor, real: Tensor) -> Tensor:
    """Sort the members [nodes, m] of each node by their lean to side A, those that do not exist last."""
    return torch.argsort(lean.masked_fill(~real, -torch.inf), dim=1, descending=True, stable=True)


def _sides(rank: Tensor, real: Tensor) -> Tensor:
    """Mark the first half of `rank` as side A and the other half as side B; float [nodes, 2, m]."""
    count = real.sum(dim=1, keepdim=True)
    place = torch.arange(rank.shape[1], device=rank.device)
    in_a = torch.zeros_like(real).scatter_(1, rank, place < (count + 1) // 2)
    return torch.stack([in_a, real & ~in_a], dim=1).float()
