"""Exact blocked search against a full sort of the full score matrix."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.oracles import search as oracle

from vixml.core.errors import DataError
from vixml.retrieval import prefilter
from vixml.retrieval.exact import top_k
from vixml.retrieval.prefilter import Bfloat16Prefilter


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


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 5000),
    st.integers(1, 12),
    st.sampled_from(["normal", "integers", "lengths", "equal", "zero", "tiny", "huge"]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 2**32 - 1),
)
def test_a_scan_in_half_precision_loses_nothing(
    num_queries: int, num_labels: int, k: int, kind: str, excluded: float, seed: int
) -> None:
    """Candidates found with rounded vectors hold the exact answer, whatever the vectors are like."""
    generator = np.random.default_rng(seed)
    queries = generator.standard_normal((num_queries, 16)).astype(np.float32)
    labels = generator.standard_normal((num_labels, 16)).astype(np.float32)
    if kind == "integers":
        queries, labels = np.round(queries), np.round(labels)
    elif kind == "lengths":
        labels *= generator.lognormal(0, 3, (num_labels, 1)).astype(np.float32)
    elif kind == "equal":
        labels = 1 + labels * np.float32(1e-4)
    elif kind == "zero":
        queries[0] = 0
    elif kind == "tiny":
        labels *= np.float32(1e-39)
    elif kind == "huge":
        labels *= np.float32(1e37)
    pairs = sparse.random(num_queries, num_labels, excluded, format="csr", random_state=seed % 1000, dtype=np.float32)
    with (
        mock.patch.multiple(
            prefilter, _MIN_LABELS=1, _MIN_QUERIES=1, _SPARSE=64, _SAMPLE=256, cpu_has_bf16=lambda: True
        ),
        mock.patch.object(Bfloat16Prefilter, "search", autospec=True, side_effect=Bfloat16Prefilter.search) as search,
    ):
        scores, ids = top_k(queries, labels, k, exclude=pairs)
    assert search.called == (num_labels >= 64 * min(k, num_labels))
    expected_scores, expected_ids = oracle.top_k(queries, labels, k, pairs)
    size = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True) * np.linalg.norm(
        labels.astype(np.float64), axis=1
    ).max(initial=0)
    found = np.isfinite(expected_scores)
    np.testing.assert_array_equal(found, np.isfinite(scores))
    difference = np.abs(np.subtract(scores, expected_scores, where=found, out=np.zeros_like(scores)))
    assert (difference <= 1e-6 * size + 1e-37).all()
    if kind == "integers":  # sums are exact, so ties are too
        np.testing.assert_array_equal(ids, expected_ids)
    assert not pairs.astype(bool)[np.nonzero(ids >= 0)[0], ids[ids >= 0]].any()


def test_a_scan_settles_nearly_every_query() -> None:
    """On vectors like embeddings the first guess is right, so the plain search has nothing left to do."""
    generator = np.random.default_rng(0)
    queries, labels = (generator.standard_normal((n, 32)).astype(np.float32) for n in (300, 20_000))
    scan = Bfloat16Prefilter(labels, 20)
    scores, ids = np.zeros((300, 20), np.float32), np.zeros((300, 20), np.int64)
    left = scan.search(torch.from_numpy(queries), None, scores, ids)
    assert len(left) < 3
    done = np.setdiff1d(np.arange(300), left)
    np.testing.assert_array_equal(ids[done], oracle.top_k(queries, labels, 20, None)[1][done])


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
