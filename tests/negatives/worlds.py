"""Small worlds of queries, labels and relevance, and the settings of mining in them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.params.batching import BatchingParams


def unit(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors in few dimensions: many are close to each other."""
    vectors = rng.standard_normal((rows, 4)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ragged(rows: list[list[int]]) -> RaggedArray:
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    return RaggedArray(values, offsets_of(np.array([len(row) for row in rows])))


def world(seed: int, queries: int = 30, labels: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, sp.csr_matrix]:
    """Queries, prototypes, texts, and relevance with some queries that have no label."""
    rng = np.random.default_rng(seed)
    relevance = sp.csr_matrix((rng.random((queries, labels)) < 0.08).astype(np.float32))
    return unit(queries, rng), unit(labels, rng), unit(labels, rng), relevance


def mining_params(count: int, filters: tuple[float | None, float | None], **more: object) -> BatchingParams:
    return BatchingParams(
        mined_labels=count, duplicate_similarity=filters[0], duplicate_query_similarity=filters[1], **more
    )
