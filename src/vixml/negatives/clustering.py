"""Balanced spherical clustering: a binary tree of 2-means splits, many nodes of a level at once (NGAME, WSDM 2023).

What costs is reading the points from memory, so nodes are taken in chunks that stay in the processor's cache while
2-means iterates. A node of at most 256 points needs them only once: its Gram matrix holds all that 2-means asks for,
and the Gram matrices of its descendants are parts of it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GRAM = 256  # most points of a node that is split through its Gram matrix
_CHUNK = 1 << 21  # most numbers of a chunk of nodes: 8 MB


def balanced_clusters(
    embeddings: Tensor, *, size: int, generator: torch.Generator, max_iterations: int = 20, tolerance: float = 7e-5
) -> list[Tensor]:
    """Split points into clusters whose sizes differ by at most one.

    Every node of a tree level is split by spherical 2-means into two halves.

    Args:
        embeddings: Unit vectors [n, d]; half precision is widened.
        size: Wanted cluster size; the result has 2**depth clusters of at most `size` points.
        generator: CPU stream that draws the initial centres.
        max_iterations: Most 2-means iterations of a chunk of nodes.
        tolerance: They stop when the mean similarity to the centre grows by less.

    Returns:
        Point indices int64 of each cluster, on the CPU, a partition of 0..n-1.
    """
    points = embeddings.float()
    depth = max(0, math.ceil(math.log2(len(points) / size))) if len(points) > size else 0
    order = torch.arange(len(points), device=points.device)
    sizes = torch.tensor([len(points)])
    level = 0
    while level < depth:
        longest = int(sizes.max())
        small = longest <= _GRAM
        per_chunk = max(1, _CHUNK // (longest * (longest if small else points.shape[1])))
        orders, parts = [], []
        for chunk in zip(order.split(_sums(sizes, per_chunk)), sizes.split(per_chunk), strict=True):
            if small:
                new = _split_to_the_leaves(points, *chunk, depth - level, generator, max_iterations, tolerance)
            else:
                new = _split_once(points, *chunk, generator, max_iterations, tolerance)
            orders.append(new[0])
            parts.append(new[1])
        order, sizes = torch.cat(orders), torch.cat(parts)
        level = depth if small else level + 1
    return list(order.cpu().split(sizes.tolist()))


def _split_once(
    points: Tensor, order: Tensor, sizes: Tensor, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Split some large nodes; return the new order of their points and the sizes of the new nodes."""
    members, real = _members(order, sizes)
    block = _gather(points, members, real)
    seeds = _seeds(sizes, generator).to(points.device)
    centres = block.gather(1, seeds[..., None].expand(-1, -1, block.shape[2]))
    direction = centres[:, 0] - centres[:, 1]
    total, previous = block.sum(dim=1), -math.inf
    side = real
    for _ in range(max_iterations):
        side = _larger_half(_products(block, direction), real)
        sum_a = _products(block.mT, side.float())
        sum_b = total - sum_a
        norm_a, norm_b = (s.norm(dim=1, keepdim=True).clamp(min=1e-12) for s in (sum_a, sum_b))
        direction = sum_a / norm_a - sum_b / norm_b
        # The norm of a side's sum is the sum of its members' similarities to their centre.
        current = float((norm_a + norm_b).sum() / real.sum())
        if current - previous < tolerance:
            break
        previous = current
    new_order = members.gather(1, _side_by_side(side, real))[real]
    halves = _halves(sizes)
    return new_order, halves[halves > 0]


def _split_to_the_leaves(
    points: Tensor,
    order: Tensor,
    sizes: Tensor,
    levels: int,
    generator: torch.Generator,
    max_iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Split some small nodes `levels` times; return the new order of their points and the sizes of the leaves."""
    members, real = _members(order, sizes)
    block = _gather(points, members, real)
    gram = torch.bmm(block, block.mT)
    steps = torch.arange(members.shape[1], device=points.device)
    for level in range(levels):
        rank = _side_by_side(_two_means(gram, real, sizes, generator, max_iterations, tolerance), real)
        halves = _halves(sizes)
        width = (rank.shape[1] + 1) // 2
        begin = torch.stack([torch.zeros_like(sizes), (sizes + 1) // 2], dim=1).reshape(-1).to(points.device)
        real = steps[:width] < halves.to(points.device)[:, None]
        place = (begin[:, None] + steps[:width]).clamp(max=rank.shape[1] - 1)
        picked = rank.repeat_interleave(2, dim=0).gather(1, place)  # [children, width]: places in the parent
        members = members.repeat_interleave(2, dim=0).gather(1, picked)
        if level + 1 < levels:
            rows = gram.gather(1, picked.view(len(gram), -1, 1).expand(-1, -1, gram.shape[2])).view(*picked.shape, -1)
            gram = rows.gather(2, picked[:, None, :].expand(-1, width, -1))
            gram *= real[:, None, :]
            gram *= real[:, :, None]
        sizes = halves
    return members[real], sizes[sizes > 0]


def _two_means(
    gram: Tensor, real: Tensor, sizes: Tensor, generator: torch.Generator, max_iterations: int, tolerance: float
) -> Tensor:
    """Split nodes whose members enter only through their products with each other.

    Args:
        gram: Products [nodes, m, m], zero beyond a node's size.
        real: Which members exist [nodes, m].
        sizes: How many [nodes].
        generator: Draws the initial centres.
        max_iterations: Most iterations.
        tolerance: See `balanced_clusters`.

    Returns:
        Which members are on side A [nodes, m].
    """
    seeds = _seeds(sizes, generator).to(gram.device)
    sides = torch.zeros(len(real), 2, real.shape[1], device=gram.device).scatter_(2, seeds[..., None], 1.0)
    previous, side = -math.inf, real
    for iteration in range(max_iterations):
        products = torch.bmm(sides, gram)  # of each member with the sums of both sides
        norms = (products * sides).sum(dim=2).clamp(min=1e-12).sqrt()
        lean = products / norms[..., None]
        side = _larger_half(lean[:, 0] - lean[:, 1], real)
        current = float(norms.sum() / real.sum())
        # The first two "sides" are single points, which are no split of the node yet.
        if iteration > 1 and current - previous < tolerance:
            break
        previous = current
        sides = torch.stack([side, real & ~side], dim=1).float()
    return side


def _sums(sizes: Tensor, per_chunk: int) -> list[int]:
    """Return how many points each chunk of nodes holds."""
    return [int(part.sum()) for part in sizes.split(per_chunk)]


def _halves(sizes: Tensor) -> Tensor:
    """Return the sizes of the two children of each node, side by side."""
    return torch.stack([(sizes + 1) // 2, sizes // 2], dim=1).reshape(-1)


def _members(order: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points of each node int64 [nodes, longest], and which of them exist."""
    starts = torch.cumsum(sizes, 0) - sizes
    steps = torch.arange(int(sizes.max()))
    real = steps < sizes[:, None]
    slots = torch.where(real, starts[:, None] + steps, starts[:, None].clamp(max=max(len(order) - 1, 0)))
    return order[slots.to(order.device)], real.to(order.device)


def _gather(points: Tensor, members: Tensor, real: Tensor) -> Tensor:
    """Return the members [nodes, m, d], zero where they do not exist."""
    block = points.index_select(0, members.reshape(-1)).view(*members.shape, -1)
    block[~real] = 0
    return block


def _seeds(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw two different members of each node, as places in it [nodes, 2]."""
    draw = torch.rand(len(sizes), 2, generator=generator)
    last = (sizes - 1).clamp(min=0)
    first = (draw[:, 0] * sizes).long().minimum(last)
    second = (first + 1 + (draw[:, 1] * last).long()) % sizes.clamp(min=1)
    return torch.stack([first, second], dim=1)


def _products(block: Tensor, vectors: Tensor) -> Tensor:
    """Return the products of each node's matrix [nodes, m, d] with its vector [nodes, d], as [nodes, m]."""
    if block.is_cuda:
        return torch.bmm(block, vectors[..., None])[..., 0]
    # The nodes are large here and few; a CPU's batched product of this shape is three times slower than this.
    return torch.stack([torch.mv(matrix, vector) for matrix, vector in zip(block, vectors, strict=True)])


def _larger_half(lean: Tensor, real: Tensor) -> Tensor:
    """Mark the half of each node's members that leans most to side A; of equal ones, the first."""
    half = (real.sum(dim=1, keepdim=True) + 1) // 2
    lean = lean.masked_fill(~real, -torch.inf)
    edge = torch.topk(lean, (lean.shape[1] + 1) // 2, dim=1).values.gather(1, (half - 1).clamp(min=0))
    above, tie = lean > edge, lean == edge
    return (above | (tie & (tie.cumsum(dim=1) <= half - above.sum(dim=1, keepdim=True)))) & real


def _side_by_side(side: Tensor, real: Tensor) -> Tensor:
    """Order the members [nodes, m] of each node: side A, side B, then what does not exist."""
    key = torch.where(real, (~side).to(torch.uint8), 2)
    return torch.argsort(key, dim=1, stable=True)
