"""Label centroids, against one mean a label."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from tests.oracles import centroids as oracle

from benchmarks.harness import Row, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """Average 100,000 queries of about two labels each into 130,000 centroids."""
    from vixml.negatives.centroids import label_centroids

    queries, labels, width = (10_000, 13_000, 384) if quick else (100_000, 130_000, 384)
    rng = np.random.default_rng(0)
    relevance = random_relevance(queries, labels, 2.1, rng)
    embeddings = rng.standard_normal((queries, width)).astype(np.float32)
    seconds, oracle_seconds, peak, ours, theirs = race(
        lambda: label_centroids(embeddings, relevance), lambda: oracle.label_centroids(embeddings, relevance)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    floor = (relevance.nnz + labels) * width * 4 / read_rate()
    return [
        Row(
            "label centroids", f"{queries:,} x {labels:,} x {width}", seconds, "label by label", oracle_seconds, peak,
            "read a vector a pair, write one a label", floor, "<= 0.7 s", seconds <= 0.7,
        )
    ]  # fmt: skip


def random_relevance(points: int, labels: int, mean: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Return a relevance matrix of 1 + Poisson labels a point, some labels far more frequent than others."""
    counts = 1 + rng.poisson(mean - 1, points)
    columns = (labels * rng.random(counts.sum()) ** 2).astype(np.int64)
    rows = np.repeat(np.arange(points), counts)
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (points, labels))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
