"""Exact blocked search against a full sort of the full score matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.oracles import search as oracle

from vixml.core.errors import DataError
from vixml.retrieval.exact import top_k


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 25),
    st.integers(1, 5),
    st.integers(1, 7),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_full_sort(
    num_queries: int, num_labels: int, k: int, query_block: int, label_block: int, excluded: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    queries = generator.integers(-1, 2, (num_queries, 3)).astype(np.float32)  # small integers: ties everywhere
    labels = generator.integers(-1, 2, (num_labels, 3)).astype(np.float32)
    pairs = sparse.csr_matrix((generator.random((num_queries, num_labels)) < excluded).astype(np.float32))
    scores, ids = top_k(queries, labels, k, exclude=pairs, query_block=query_block, label_block=label_block)
    expected_scores, expected_ids = oracle.top_k(queries, labels, k, pairs)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected_scores)
    assert (scores.dtype, ids.dtype) == (np.float32, np.int64)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 300),
    st.integers(1, 40),
    st.sampled_from([32, 64, 100]),
    st.sampled_from(["any", "rising", "falling", "equal"]),
    st.sampled_from([0.0, 0.3, 0.98]),
    st.integers(0, 2**32 - 1),
)
def test_later_blocks_are_filtered_without_loss(
    num_queries: int, num_labels: int, k: int, label_block: int, order: str, excluded: float, seed: int
) -> None:
    """Blocks that are only compared with the score to beat lose nothing, whatever the order in which scores come."""
    generator = np.random.default_rng(seed)
    queries = np.ones((num_queries, 1), dtype=np.float32)
    values = {
        "any": generator.integers(-9, 9, num_labels),
        "rising": np.arange(num_labels) // 2 - 40,
        "falling": 40 - np.arange(num_labels) // 2,
        "equal": np.zeros(num_labels),
    }[order]
    labels = values[:, None].astype(np.float32) * generator.choice([1.0, -0.0], (num_labels, 1)).astype(np.float32)
    pairs = sparse.csr_matrix((generator.random((num_queries, num_labels)) < excluded).astype(np.float32))
    scores, ids = top_k(queries, labels, k, exclude=pairs, label_block=label_block)
    expected_scores, expected_ids = oracle.top_k(queries, labels, k, pairs)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected_scores)


def test_reads_half_precision_memory_maps_and_tensors(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    queries, labels = generator.normal(size=(30, 8)), generator.normal(size=(70, 8)).astype(np.float16)
    np.save(tmp_path / "labels.npy", labels)
    expected = oracle.top_k(queries, labels, 5, None)
    for source in (labels, np.load(tmp_path / "labels.npy", mmap_mode="r"), torch.from_numpy(labels)):
        scores, ids = top_k(queries.astype(np.float32), source, 5, query_block=7, label_block=16)
        np.testing.assert_array_equal(ids, expected[1])
        np.testing.assert_allclose(scores, expected[0], rtol=1e-5)


def test_no_queries_and_no_labels_give_padding() -> None:
    vectors = np.ones((2, 3), dtype=np.float32)
    assert top_k(vectors[:0], vectors, 4)[1].shape == (0, 4)
    scores, ids = top_k(vectors, vectors[:0], 4)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()


def test_bad_inputs_are_named() -> None:
    vectors = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(DataError, match="same width"):
        top_k(vectors, np.ones((2, 4), dtype=np.float32), 1)
    with pytest.raises(DataError, match="at least one label"):
        top_k(vectors, vectors, 0)
    with pytest.raises(DataError, match="filter has another shape"):
        top_k(vectors, vectors, 1, exclude=sparse.csr_matrix((2, 3)))
    broken = vectors.copy()
    broken[1, 0] = np.nan
    with pytest.raises(DataError, match="label 1 is not finite"):
        top_k(vectors, broken, 1, label_block=1)
    with pytest.raises(DataError, match="query 1 is not finite"):
        top_k(broken, vectors, 1, query_block=1)
