"""Balanced clustering of training queries, against splitting node by node."""

from __future__ import annotations

import math

from tests.oracles import clustering as oracle

from benchmarks.harness import Row, product_rate, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """Cluster points around random topics to at most 16 a cluster."""
    import torch
    from torch.nn.functional import normalize

    from vixml.retrieval.clustering import _GRAM, balanced_clusters

    count, width, size = 10_000 if quick else 100_000, 384, 16
    generator = torch.Generator().manual_seed(0)
    topics = normalize(torch.randn(count // 20, width, generator=generator))
    noise = normalize(torch.randn(count, width, generator=generator))
    points = normalize(noise + topics[torch.randint(len(topics), (count,), generator=generator)])
    seconds, oracle_seconds, peak, ours, theirs = race(
        lambda: balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(1)),
        lambda: oracle.balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(1)),
        repeats=3,
    )
    assert torch.equal(torch.cat(ours).sort().values, torch.arange(count)), "no partition"
    assert max(map(len, ours)) - min(map(len, ours)) <= 1, "unbalanced"
    quality, expected = oracle.mean_cosine(points, ours), oracle.mean_cosine(points, theirs)
    large = math.ceil(math.log2(count / _GRAM))  # levels that need passes over all points
    gram = 2 * count * min(_GRAM, count) * width
    floor = (3 * large + 1) * points.nbytes / read_rate() + gram / product_rate()
    met = oracle_seconds / seconds >= 8 and quality >= expected
    return [
        Row(
            "balanced clustering",
            f"{count:,} x {width} to {size}; cosine {quality:.4f}, oracle {expected:.4f}",
            seconds, "node by node", oracle_seconds, peak,
            "a copy and two passes a large level, one Gram matrix a small node", floor, ">= 8x, cosine not below", met,
        ),
        _memory(40_000 if quick else 1_305_265, width, size, oracle_seconds / count),
    ]  # fmt: skip


def _memory(count: int, width: int, size: int, oracle_seconds: float) -> Row:
    """LF-Amazon-1.3M's size, half precision as in the bank: it is the memory that counts; the oracle is scaled up."""
    import torch

    from vixml.retrieval.clustering import balanced_clusters

    points = torch.empty(count, width, dtype=torch.float16)
    generator = torch.Generator().manual_seed(0)
    for part in points.split(65_536):
        part.copy_(torch.nn.functional.normalize(torch.randn(part.shape, generator=generator)))
    seconds, _, peak, ours, _ = race(
        lambda: balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(1)),
        lambda: None,
        repeats=1,
    )
    assert torch.equal(torch.cat(ours).sort().values, torch.arange(count)), "no partition"
    assert max(map(len, ours)) - min(map(len, ours)) <= 1, "unbalanced"
    return Row(
        "balanced clustering, memory", f"{count:,} x {width} to {size}", seconds, "node by node, scaled by the points",
        oracle_seconds * count, peak, "one read", points.nbytes / read_rate(), "< 16 GiB", peak < 16 * 2**30,
    )  # fmt: skip
