"""All ranking metrics at once at LF-AmazonTitles-131K's shape, filter pairs taken out first, against row by row."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from tests.oracles import metrics as oracle
from tests.oracles import search as search_oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """134,835 points x 131,073 labels, 151 found and 100 kept of each; the oracle sees a part of the rows."""
    import torch

    from vixml.metrics.ranking import ranking_metrics
    from vixml.retrieval.index import remove_pairs

    torch.set_num_threads(1)
    points, labels, part = (10_000, 13_000, 500) if quick else (134_835, 131_073, 5_000)
    rng = np.random.default_rng(0)
    relevance, weights = random_relevance(points, labels, 2.1, rng), 1 + rng.random(labels)
    top = (labels * rng.random((points, 151)) ** 2).astype(np.int64)
    top = np.sort(top, axis=1)
    top[:, 1:][top[:, 1:] == top[:, :-1]] = -1  # a list names no label twice
    ranks = rng.random(top.shape).argsort(axis=1)
    top = np.take_along_axis(top, ranks, axis=1)
    first = relevance.indices[relevance.indptr[:-1]]
    known = (top == first[:, None]).any(axis=1)
    top[~known, rng.integers(0, 100)] = first[~known]  # every point has a hit, at any place
    scores, filters = -np.sort(-rng.random(top.shape, dtype=np.float32), axis=1), _filters(top, labels, rng)
    ks = (1, 3, 5, 10, 100)

    def measured(count: int) -> dict[str, float]:
        _, kept = remove_pairs(scores[:count], top[:count], filters[:count], 100)
        return ranking_metrics(kept, relevance[:count], weights, ks)

    def row_by_row() -> dict[str, float]:
        _, kept = search_oracle.remove_pairs(scores[:part], top[:part], filters[:part])
        return oracle.ranking_metrics(kept[:, :100], relevance[:part], weights, ks)

    seconds, oracle_seconds, peak, _, theirs = race(lambda: measured(points), row_by_row, repeats=3)
    ours = measured(part)
    assert all(abs(ours[name] - theirs[name]) < 1e-9 for name in theirs), "differs from the oracle"
    oracle_seconds *= points / part
    floor = (top.nbytes + scores.nbytes) / read_rate()
    met = seconds <= 1 and oracle_seconds / seconds >= 50 and peak < 2 * 2**30
    return [
        Row(
            "metrics", f"{points:,} x {labels:,}, {filters.nnz:,} filters, top 100, one thread", seconds,
            f"row by row (of {part:,} rows)",
            oracle_seconds, peak, "read the predictions", floor, ">= 50x, <= 1 s, < 2 GiB", met,
        )
    ]  # fmt: skip


def _filters(top: np.ndarray, labels: int, rng: np.random.Generator) -> sp.csr_matrix:
    """Return excluded pairs as LF-AmazonTitles-131K has them: 0.59 a point, 51 in a row; half are found."""
    points = len(top)
    counts = rng.multinomial(int(79_663 / 134_835 * points) - 51, np.full(points, 1 / points))
    counts[rng.integers(0, points)] += 51
    rows = np.repeat(np.arange(points), counts)
    columns = np.where(
        rng.random(len(rows)) < 0.5,
        top[rows, rng.integers(0, top.shape[1], len(rows))].clip(min=0),
        rng.integers(0, labels, len(rows)),
    )
    pairs = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (points, labels))
    pairs.sum_duplicates()
    return pairs
