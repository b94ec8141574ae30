"""All ranking metrics at once at LF-AmazonTitles-131K's shape, against row by row."""

from __future__ import annotations

import numpy as np
from tests.oracles import metrics as oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """134,835 points x 131,073 labels, top 100, after the filters are taken out; the oracle sees a part of the rows."""
    import torch

    from vixml.evaluation.metrics import ranking_metrics

    torch.set_num_threads(1)
    points, labels, part = (10_000, 13_000, 500) if quick else (134_835, 131_073, 5_000)
    rng = np.random.default_rng(0)
    relevance, weights = random_relevance(points, labels, 2.1, rng), 1 + rng.random(labels)
    top = (labels * rng.random((points, 100)) ** 2).astype(np.int64)
    top = np.sort(top, axis=1)
    top[:, 1:][top[:, 1:] == top[:, :-1]] = -1  # a list names no label twice
    ranks = rng.random(top.shape).argsort(axis=1)
    top = np.take_along_axis(top, ranks, axis=1)
    first = relevance.indices[relevance.indptr[:-1]]
    known = (top == first[:, None]).any(axis=1)
    top[~known, rng.integers(0, 100)] = first[~known]  # every point has a hit, at any place
    ks = (1, 3, 5, 10, 100)
    seconds, oracle_seconds, peak, _, theirs = race(
        lambda: ranking_metrics(top, relevance, weights, ks),
        lambda: oracle.ranking_metrics(top[:part], relevance[:part], weights, ks),
        repeats=2,
    )
    ours = ranking_metrics(top[:part], relevance[:part], weights, ks)
    assert all(abs(ours[name] - theirs[name]) < 1e-9 for name in theirs), "differs from the oracle"
    oracle_seconds *= points / part
    floor = top.nbytes / read_rate()
    met = seconds <= 1 and oracle_seconds / seconds >= 50 and peak < 2 * 2**30
    return [
        Row(
            "metrics", f"{points:,} x {labels:,}, top 100, one thread", seconds, f"row by row (of {part:,} rows)",
            oracle_seconds, peak, "read the predictions", floor, ">= 50x, <= 1 s, < 2 GiB", met,
        )
    ]  # fmt: skip
