"""Batch assembly: positives by inverse propensity, the pool, its target; against query by query."""

from __future__ import annotations

import numpy as np
from tests.oracles import batches as oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """Assemble batches of 2,048 of 100,000 points x 130,000 labels, tokens included."""
    from vixml.data.ragged import RaggedArray, offsets_of
    from vixml.negatives.sampling import PositiveSampler, pool_target

    points, labels, size, batches = (20_000, 26_000, 2048, 4) if quick else (100_000, 130_000, 2048, 20)
    rng = np.random.default_rng(0)
    relevance, weights = random_relevance(points, labels, 2.1, rng), rng.random(labels) + 0.1
    lengths = rng.integers(4, 32, points)
    tokens = RaggedArray(rng.integers(0, 30_000, lengths.sum()).astype(np.uint16), offsets_of(lengths))
    sampler = PositiveSampler(relevance, weights)
    rows = [rng.permutation(points)[:size] for _ in range(batches)]

    def ours() -> list[tuple[np.ndarray, np.ndarray]]:
        made = []
        for batch in rows:
            tokens.take(batch)
            pool = np.unique(sampler.draw(batch, np.random.default_rng(1)))
            made.append((pool, pool_target(relevance, batch, pool)))
        return made

    seconds, oracle_seconds, peak, made, _ = race(
        ours, lambda: oracle.assemble(relevance, weights, rows[0], np.random.default_rng(1))
    )
    for batch, (pool, target) in zip(rows[:2], made, strict=False):
        np.testing.assert_array_equal(target, oracle.pool_target(relevance, batch, pool))
    rate = batches * size / seconds
    floor = batches * size * size / read_rate()
    return [
        Row(
            "batch assembly", f"{batches} x {size:,} of {points:,} x {labels:,}: {rate:,.0f} queries/s", seconds,
            "query by query", batches * oracle_seconds, peak, "write the B x B target", floor, ">= 200,000 queries/s",
            rate >= 200_000,
        )
    ]  # fmt: skip
