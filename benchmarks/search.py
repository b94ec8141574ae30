"""Exact top-k, against one whole matrix product and topk, and against faiss's flat index where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.oracles import search as oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, product_rate, race


def run(*, quick: bool) -> list[Row]:
    """Search 2,000 queries in 131,072 labels of width 384; then few queries in 1.3M of width 768 for the memory."""
    import torch
    from torch.nn.functional import normalize

    from vixml.retrieval.exact import top_k

    count, num_labels, width = (200, 8_192, 128) if quick else (2_000, 131_072, 384)
    generator = torch.Generator().manual_seed(0)
    queries, labels = (normalize(torch.randn(n, width, generator=generator)) for n in (count, num_labels))
    filters = random_relevance(count, num_labels, 1.5, np.random.default_rng(0))
    floor = 2 * count * num_labels * width / product_rate()
    table = []

    rivals = {
        "product + topk": lambda k: oracle.product_and_topk(queries, labels, k, filters),
        "faiss flat": _faiss(queries, labels, filters),
    }
    for k in (100, 151):
        for name, rival in rivals.items():
            if rival is None:
                continue
            seconds, oracle_seconds, peak, ours, theirs = race(
                lambda k=k: top_k(queries.numpy(), labels.numpy(), k, exclude=filters),
                lambda k=k, rival=rival: rival(k),
                repeats=2,
            )
            np.testing.assert_allclose(ours[0], np.asarray(theirs[0]), atol=1e-5)
            size = f"{count:,} x {num_labels:,} x {width}, k = {k}, filtered"
            table.append(
                Row("exact top-k", size, seconds, name, oracle_seconds, peak, "the matrix product", floor, ">= 1x",
                    seconds <= oracle_seconds)
            )  # fmt: skip
    return [*table, *_large(quick)]


def _faiss(queries: Any, labels: Any, filters: Any) -> Callable[[int], Any] | None:
    """Search faiss's flat index deep enough to lose the excluded pairs; nothing where faiss is not installed."""
    from vixml.params.retrieval import RetrievalParams
    from vixml.retrieval.index import build_index

    if importlib.util.find_spec("faiss") is None:
        return None
    index = build_index(labels.numpy(), RetrievalParams(kind="faiss-flat", query_block=len(queries)))
    return lambda k: index.search(queries.numpy(), k, exclude=filters)


def _large(quick: bool) -> list[Row]:
    """1.3M labels x 768: only few queries, as it is the memory that counts."""
    import torch

    from vixml.retrieval.exact import top_k

    count, num_labels, width = (16, 20_000, 256) if quick else (256, 1_305_265, 768)
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
