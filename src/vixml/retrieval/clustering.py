"""Balanced spherical clustering: a binary tree of 2-means splits, many nodes of a level at once (NGAME, WSDM 2023).

What costs is reading the points from memory. Nodes that do not fit into the processor's cache are split by a direction
that a sample finds and a few passes over all members refine, in half precision where the processor multiplies it.
Smaller ones are taken in chunks that stay in the cache while 2-means iterates, a thread each. A node of at most 256
points needs them only once: its Gram matrix holds all that 2-means asks for, and the Gram matrices of its descendants
are parts of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from vixml.models.device import cpu_has_bf16

_GRAM = 256  # most points of a node that is split through its Gram matrix
_CHUNK = 1 << 22  # most numbers of a chunk of nodes: 8 MB in half precision
_CACHED = 16_384  # most points of a node that 2-means reads again and again; on a GPU, where launches cost, more
_CACHED_GPU = 131_072
_MIDDLE = 512  # this many members determine the middle of a larger node, until the last split
_SAMPLE, _PASSES = 8192, 6  # members that find a large node's direction; passes over all of them that refine it


def balanced_clusters(
    embeddings: Tensor, *, size: int, generator: torch.Generator, max_iterations: int = 20, tolerance: float = 5e-5
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
    count = len(embeddings)
    depth = max(0, math.ceil(math.log2(count / size))) if count > size else 0
    cached = _CACHED_GPU if embeddings.is_cuda else _CACHED
    large = min(depth, max(0, math.ceil(math.log2(max(count, 1) / cached))))
    order, sizes = torch.arange(count, device=embeddings.device), torch.tensor([count])
    kind = torch.float32
    if large:
        kind = torch.bfloat16 if embeddings.is_cuda or cpu_has_bf16() else kind
        order, sizes = _split_large(embeddings.to(kind, copy=True), large, generator, max_iterations, tolerance)
    groups, streams = order.split(sizes.tolist()), [generator]
    if large:  # a stream for each group, whichever thread comes first
        seeds = torch.randint(1 << 62, (len(groups),), generator=generator)
        streams = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]

    def split(group: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        points = (embeddings.index_select(0, group) if large else embeddings).to(kind)
        inner, leaves = _split_cached(points, depth - large, stream, max_iterations, tolerance)
        return group[inner], leaves

    orders, parts = zip(*_on_threads(split, groups, streams), strict=True)
    return list(torch.cat(orders).cpu().split(torch.cat(parts).tolist()))


def _on_threads(
    split: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]],
    groups: Sequence[Tensor],
    streams: Sequence[torch.Generator],
) -> list[tuple[Tensor, Tensor]]:
    """Split groups side by side on a CPU, each on one thread: their operations are too small to share one out."""
    threads = min(torch.get_num_threads(), len(groups))
    if threads == 1 or groups[0].is_cuda:
        return list(map(split, groups, streams))
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, "clusters", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(split, groups, streams))
    finally:
        torch.set_num_threads(before)  # what a thread sets is what new ones begin with


def _split_large(
    points: Tensor, levels: int, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Split all points `levels` times; return their order and the sizes of the nodes.

    The points are put into the order of the nodes at every level, so that each node is read in one go. They are
    overwritten.
    """
    spare = torch.empty_like(points)
    order, sizes = torch.arange(len(points), device=points.device), torch.tensor([len(points)])
    for _ in range(levels):
        moves, start = [], 0
        for count in sizes.tolist():
            side = _halve(points[start : start + count], generator, max_iterations, tolerance)
            moves.append(start + torch.argsort((~side).to(torch.uint8), stable=True))
            start += count
        move = torch.cat(moves)
        torch.index_select(points, 0, move, out=spare)
        points, spare = spare, points
        order, sizes = order[move], _halves(sizes)
    return order, sizes


def _halve(points: Tensor, generator: torch.Generator, max_iterations: int, tolerance: float) -> Tensor:
    """Split one large node [m, d]; return which members are on side A [m]."""
    count = len(points)
    seeds = _seeds(torch.tensor([count]), generator)[0].to(points.device)
    direction = (points[seeds[0]] - points[seeds[1]]).float()[None]
    sample = points[:: -(-count // _SAMPLE)].contiguous()
    for members, iterations in ((sample, max_iterations), (points, _PASSES)):
        half, previous = (
            _Half(torch.ones(1, len(members), dtype=torch.bool, device=points.device), generator),
            -math.inf,
        )
        total = _sums(members[None])
        for _ in range(iterations):
            lean = _products(members[None], direction)
            sum_a = _sums_of_side(members[None], half.roughly(lean))
            norm_a, norm_b = (s.norm(dim=1, keepdim=True).clamp(min=1e-12) for s in (sum_a, total - sum_a))
            direction = sum_a / norm_a - (total - sum_a) / norm_b
            current = float((norm_a + norm_b) / len(members))
            if current - previous < tolerance:
                break
            previous = current
    return half.exactly(lean)[0]


def _split_cached(
    points: Tensor, depth: int, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Split points `depth` times; return their order and the sizes of the leaves."""
    order = torch.arange(len(points), device=points.device)
    sizes = torch.tensor([len(points)])
    level = 0
    while level < depth:
        longest = int(sizes.max())
        small = longest <= _GRAM
        per_chunk = max(1, _CHUNK // (longest * (longest if small else points.shape[1])))
        orders, parts = [], []
        for chunk in zip(order.split(_lengths(sizes, per_chunk)), sizes.split(per_chunk), strict=True):
            if small:
                new = _split_to_the_leaves(points, *chunk, depth - level, generator, max_iterations, tolerance)
            else:
                new = _split_once(points, *chunk, generator, max_iterations, tolerance)
            orders.append(new[0])
            parts.append(new[1])
        order, sizes = torch.cat(orders), torch.cat(parts)
        level = depth if small else level + 1
    return order, sizes


def _split_once(
    points: Tensor, order: Tensor, sizes: Tensor, generator: torch.Generator, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Split some large nodes; return the new order of their points and the sizes of the new nodes."""
    members, real = _members(order, sizes)
    block = _gather(points, members, real)
    seeds = _seeds(sizes, generator).to(points.device)
    centres = block.gather(1, seeds[..., None].expand(-1, -1, block.shape[2]))
    direction = (centres[:, 0] - centres[:, 1]).float()
    half, total, previous = _Half(real, generator), _sums(block), -math.inf
    for _ in range(max_iterations):
        lean = _products(block, direction)
        sum_a = _sums_of_side(block, half.roughly(lean))
        sum_b = total - sum_a
        norm_a, norm_b = (s.norm(dim=1, keepdim=True).clamp(min=1e-12) for s in (sum_a, sum_b))
        direction = sum_a / norm_a - sum_b / norm_b
        # The norm of a side's sum is the sum of its members' similarities to their centre.
        current = float((norm_a + norm_b).sum()) / len(order)
        if current - previous < tolerance:
            break
        previous = current
    new_order = members.gather(1, _side_by_side(half.exactly(lean), real))[real]
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
    gram = torch.bmm(block, block.mT).float()
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
    half, members, previous = _Half(real, generator), float(sizes.sum()), -math.inf
    for iteration in range(max_iterations):
        products = torch.bmm(sides, gram)  # of each member with the sums of both sides
        norms = (products * sides).sum(dim=2).clamp(min=1e-12).sqrt()
        lean = products / norms[..., None]
        lean = lean[:, 0] - lean[:, 1]
        current = float(norms.sum()) / members
        # The first two "sides" are single points, which are no split of the node yet.
        if iteration > 1 and current - previous < tolerance:
            break
        previous = current
        side = half.roughly(lean)
        torch.stack([side & real, ~side & real], dim=1, out=sides)
    return half.exactly(lean)


def _lengths(sizes: Tensor, per_chunk: int) -> list[int]:
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
    if not bool(real.all()):
        block.view(-1, block.shape[2]).index_fill_(0, (~real).reshape(-1).nonzero()[:, 0], 0)
    return block


def _seeds(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw two different members of each node, as places in it [nodes, 2]."""
    draw = torch.rand(len(sizes), 2, generator=generator)
    last = (sizes - 1).clamp(min=0)
    first = (draw[:, 0] * sizes).long().minimum(last)
    second = (first + 1 + (draw[:, 1] * last).long()) % sizes.clamp(min=1)
    return torch.stack([first, second], dim=1)


def _products(block: Tensor, vectors: Tensor) -> Tensor:
    """Return the products float32 of each node's matrix [nodes, m, d] with its vector [nodes, d], as [nodes, m]."""
    if block.is_cuda or block.dtype == torch.bfloat16:
        return torch.bmm(block, vectors.to(block.dtype)[..., None])[..., 0].float()
    # The nodes are large here and few; a CPU's batched product of this shape is three times slower than this.
    return torch.stack([torch.mv(matrix, vector) for matrix, vector in zip(block, vectors, strict=True)])


def _sums(block: Tensor) -> Tensor:
    """Return the sum float32 of each node's members [nodes, m, d], as [nodes, d]."""
    if block.dtype == torch.bfloat16:
        return _sums_of_side(block, torch.ones(block.shape[:2], dtype=torch.bool, device=block.device))
    return block.sum(dim=1)


def _sums_of_side(block: Tensor, side: Tensor) -> Tensor:
    """Return the sum float32 of each node's members [nodes, m, d] that are marked [nodes, m], as [nodes, d]."""
    if block.is_cuda or block.dtype == torch.bfloat16:
        return torch.bmm(side.to(block.dtype)[:, None], block)[:, 0].float()
    return _products(block.mT, side.float())


class _Half:
    """The larger half of each node's members, by how much they lean to side A.

    Args:
        real: Which members exist [nodes, m]; nodes differ by at most one member.
        generator: Draws the members that determine the middle.
    """

    def __init__(self, real: Tensor, generator: torch.Generator) -> None:
        self.real, self.complete = real, bool(real.all())
        self.half = (real.sum(dim=1, keepdim=True) + 1) // 2
        # A node that is one shorter has one place less to give away where the middle is one less: its gap takes it.
        self.gap = torch.where(self.half < (real.shape[1] + 1) // 2, torch.inf, -torch.inf)
        self.some = None  # in no order that the points may have
        if real.shape[1] > 2 * _MIDDLE:
            self.some = torch.randperm(real.shape[1], generator=generator)[:_MIDDLE].to(real.device)

    def roughly(self, lean: Tensor) -> Tensor:
        """Mark about the half that leans most [nodes, m]: good for a direction; gaps may be marked too."""
        lean = self._filled(lean)
        return lean >= _middle(lean if self.some is None else lean.index_select(1, self.some))

    def exactly(self, lean: Tensor) -> Tensor:
        """Mark the half that leans most [nodes, m]; of equal ones, the first."""
        lean = self._filled(lean)
        edge = _middle(lean)
        side = (lean >= edge) & self.real
        if bool((side.sum(dim=1, keepdim=True) == self.half).all()):
            return side
        above, tie = (lean > edge) & self.real, (lean == edge) & self.real
        return above | (tie & (tie.cumsum(dim=1) <= self.half - above.sum(dim=1, keepdim=True)))

    def _filled(self, lean: Tensor) -> Tensor:
        return lean if self.complete else torch.where(self.real, lean, self.gap)


def _middle(lean: Tensor) -> Tensor:
    """Return the smallest number of the larger half of each row [nodes, m], as [nodes, 1]."""
    return lean.kthvalue(lean.shape[1] // 2 + 1, dim=1, keepdim=True).values


def _side_by_side(side: Tensor, real: Tensor) -> Tensor:
    """Order the members [nodes, m] of each node: side A, side B, then what does not exist."""
    key = torch.where(real, (~side).to(torch.uint8), 2)
    return torch.argsort(key, dim=1, stable=True)
