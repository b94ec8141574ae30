"""Exact top-k, against one whole matrix product and topk, and against faiss's flat index where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, product_rate, race


def run(*, quick: bool) -> list[Row]:
    """Search 2,000 queries in 131,072 labels of width 384; then few queries in 1.3M of width 768 for the memory."""
    import torch
    from torch.nn.functional import normalize

    from vixml.retrieval.exact import top_k

    count, num_labels, width = (500, 16_384, 384) if quick else (2_000, 131_072, 384)
    generator = torch.Generator().manual_seed(0)
    queries, labels = (normalize(torch.randn(n, width, generator=generator)) for n in (count, num_labels))
    filters = random_relevance(count, num_labels, 1.5, np.random.default_rng(0))
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in filters.nonzero())
    floor = 2 * count * num_labels * width / product_rate()
    table = []

    def whole(k: int) -> torch.return_types.topk:
        scores = queries @ labels.T
        scores[rows, columns] = -torch.inf
        return torch.topk(scores, k)

    rivals = {"product + topk, filtered": (whole, filters), "faiss flat": (_faiss(labels), None)}
    for k in (100, 151):
        for name, (rival, exclude) in rivals.items():
            if rival is None:
                continue
            seconds, oracle_seconds, peak, ours, theirs = race(
                lambda k=k, exclude=exclude: top_k(queries.numpy(), labels.numpy(), k, exclude=exclude),
                lambda k=k, rival=rival: rival(k) if rival is whole else rival(queries.numpy(), k),
                repeats=2,
            )
            np.testing.assert_allclose(ours[0], np.asarray(theirs[0]), atol=1e-5)
            size = f"{count:,} x {num_labels:,} x {width}, k = {k}"
            table.append(
                Row("exact top-k", size, seconds, name, oracle_seconds, peak, "the matrix product", floor, ">= 1x",
                    seconds <= oracle_seconds)
            )  # fmt: skip
    return [*table, *_large(quick)]


def _faiss(labels: Any) -> Any:
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatIP(labels.shape[1])
    index.add(labels.numpy())
    return index.search


def _large(quick: bool) -> list[Row]:
    """1.3M labels x 768: only few queries, as it is the memory that counts."""
    import torch

    from vixml.retrieval.exact import top_k

    count, num_labels, width = (64, 50_000, 768) if quick else (256, 1_305_265, 768)
    generator = torch.Generator().manual_seed(0)
    queries, labels = (torch.randn(n, width, generator=generator).numpy() for n in (count, num_labels))
    few = 4

    def oracle() -> np.ndarray:
        return np.stack([np.sort(labels @ query)[-100:][::-1] for query in queries[:few]])

    seconds, oracle_seconds, peak, ours, theirs = race(lambda: top_k(queries, labels, 100), oracle, repeats=1)
    np.testing.assert_allclose(ours[0][:few], theirs, rtol=1e-4)
    floor = 2 * count * num_labels * width / product_rate(count, width)
    return [
        Row(
            "exact top-k, memory", f"{count} x {num_labels:,} x {width}, k = 100", seconds, "query by query",
            oracle_seconds * count / few, peak, "the matrix product", floor, "< 6 GiB", peak < 6 * 2**30,
        )
    ]  # fmt: skip
