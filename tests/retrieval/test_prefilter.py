"""The scan in half precision before exact search: it loses nothing and settles nearly every query."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.oracles import search as oracle

from vixml.params.retrieval import RetrievalParams
from vixml.retrieval import exact, prefilter
from vixml.retrieval.exact import top_k
from vixml.retrieval.index import build_index
from vixml.retrieval.prefilter import Bfloat16Prefilter


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
    scan = Bfloat16Prefilter(labels)
    scores, ids = np.zeros((300, 20), np.float32), np.zeros((300, 20), np.int64)
    left = scan.search(torch.from_numpy(queries), 20, None, scores, ids)
    assert len(left) < 3
    done = np.setdiff1d(np.arange(300), left)
    np.testing.assert_array_equal(ids[done], oracle.top_k(queries, labels, 20, None)[1][done])


def test_an_index_makes_its_labels_ready_once() -> None:
    """However often it is searched, neither a copy on a device nor the norms of a scan are made again."""
    generator = np.random.default_rng(0)
    queries, labels = (generator.standard_normal((n, 16)).astype(np.float32) for n in (300, 2000))
    index = build_index(labels, RetrievalParams())
    with (
        mock.patch.multiple(prefilter, _MIN_LABELS=1, _MIN_QUERIES=1, _SPARSE=64, cpu_has_bf16=lambda: True),
        mock.patch.object(exact, "resident", side_effect=exact.resident) as moved,
        mock.patch.object(exact, "Bfloat16Prefilter", side_effect=Bfloat16Prefilter) as scans,
    ):
        scans.pays = Bfloat16Prefilter.pays
        for k in (10, 20):
            np.testing.assert_array_equal(index.search(queries, k)[1], oracle.top_k(queries, labels, k, None)[1])
    assert moved.call_count == scans.call_count == 1
