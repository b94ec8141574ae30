"""Label indexes: all kinds answer the same questions, lose no filtered place, and survive saving."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.oracles import search as oracle

from vixml.core.errors import ConfigError, DataError, StateError
from vixml.params.retrieval import RetrievalParams
from vixml.retrieval import index as index_module
from vixml.retrieval.index import build_index, open_index, remove_pairs

KINDS = ["exact", "faiss-flat", "faiss-hnsw", "faiss-ivf"]
ALL_KINDS = [*KINDS, "faiss-ivfpq"]


def _unit(generator: np.random.Generator, rows: int) -> np.ndarray:
    vectors = generator.normal(size=(rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def queries() -> np.ndarray:
    return _unit(np.random.default_rng(0), 40)


@pytest.fixture
def labels() -> np.ndarray:
    return _unit(np.random.default_rng(1), 300)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_agrees_with_exact_search(kind: str, queries: np.ndarray, labels: np.ndarray) -> None:
    index = build_index(labels, RetrievalParams(kind=kind, query_block=16, ivf_probes=300))
    exclude = sparse.random(40, 300, density=0.2, format="csr", random_state=0)
    scores, ids = index.search(queries, 10, exclude=exclude)
    expected_scores, expected_ids = build_index(labels, RetrievalParams()).search(queries, 10, exclude=exclude)
    assert (index.size, index.dim) == (300, 16)
    assert (ids == expected_ids).mean() > 0.99
    np.testing.assert_allclose(scores[ids == expected_ids], expected_scores[ids == expected_ids], rtol=1e-4)
    assert not exclude[np.repeat(np.arange(40), 10), ids.ravel()].any()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_saved_index_answers_the_same(kind: str, queries: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    index = build_index(labels, RetrievalParams(kind=kind))
    index.save(tmp_path / "index")
    for before, after in zip(index.search(queries, 7), open_index(tmp_path / "index").search(queries, 7), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_more_labels_asked_for_than_there_are(kind: str, queries: np.ndarray, labels: np.ndarray) -> None:
    index = build_index(labels[:3], RetrievalParams(kind=kind))
    scores, ids = index.search(queries[:1], 5)
    assert sorted(ids[0, :3]) == [0, 1, 2]
    assert (ids[0, 3:] == -1).all()
    assert np.isneginf(scores[0, 3:]).all()


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_labels(kind: str, count: int, queries: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    build_index(labels[:count], RetrievalParams(kind=kind, ivf_probes=count)).save(tmp_path)
    scores, ids = open_index(tmp_path).search(queries[:3], count)
    assert all(sorted(row) == list(range(count)) for row in ids.tolist())
    if count == 1:
        np.testing.assert_allclose(scores[:, 0], queries[:3] @ labels[0], rtol=1e-5)


def test_one_label_cannot_be_compressed_and_that_is_said(labels: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    build_index(labels[:1], RetrievalParams(kind="faiss-ivfpq"))
    assert "the index of this one is flat" in caplog.text


def test_compressed_vectors_find_most_and_take_less(queries: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    sizes = {}
    for kind in ("faiss-ivf", "faiss-ivfpq"):
        index = build_index(labels, RetrievalParams(kind=kind, ivf_probes=300, ivf_lists=4, pq_subvectors=8))
        index.save(tmp_path / kind)
        sizes[kind] = (tmp_path / kind / "index.faiss").stat().st_size
    _, found = index.search(queries, 10)
    _, truth = build_index(labels, RetrievalParams()).search(queries, 10)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]) > 7
    assert sizes["faiss-ivfpq"] < sizes["faiss-ivf"]


def test_compression_must_fit_the_width(labels: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="divide the embedding width"):
        build_index(labels, RetrievalParams(kind="faiss-ivfpq", pq_subvectors=5))


def test_removing_pairs_closes_gaps_in_order() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, -np.inf]], dtype=np.float32)
    pairs = sparse.csr_matrix(([1.0, 1.0], ([0, 1], [4, 3])), shape=(2, 5))
    kept, ids = remove_pairs(scores, np.array([[4, 1, 3], [0, 3, -1]]), pairs, 3)
    np.testing.assert_array_equal(ids, [[1, 3, -1], [0, -1, -1]])
    np.testing.assert_array_equal(kept, np.array([[0.8, 0.7, -np.inf], [0.6, -np.inf, -np.inf]], dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.floats(0, 1), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_removing_pairs_equals_row_by_row(rows: int, width: int, density: float, few: int, seed: int) -> None:
    """Lists with padding at their ends and none, few or all of their labels excluded, in both ways and in blocks."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, width + 1))
    labels = rng.random((rows, 20)).argsort(axis=1)[:, :width]
    labels[np.arange(width) >= rng.integers(0, width + 1, (rows, 1))] = -1
    scores = -np.sort(-rng.random((rows, width), dtype=np.float32), axis=1)
    scores[labels < 0] = np.finfo(np.float32).min  # as faiss pads
    pairs = sparse.random(rows, 20, density=density, format="csr", random_state=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_NUMBERS_PER_BLOCK", 3 * width)
        patch.setattr(index_module, "_FEW", few)
        found = remove_pairs(scores, labels, pairs, k)
    for ours, theirs in zip(found, oracle.remove_pairs(scores, labels, pairs), strict=True):
        np.testing.assert_array_equal(ours, theirs[:, :k])


def test_an_index_of_an_earlier_version_is_opened(queries: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    """The ranking that it was built for, which is gone, is none of its settings."""
    index = build_index(labels, RetrievalParams())
    index.save(tmp_path)
    settings = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    settings["augmentation"] = {"mode": "fused", "fusion": {"text": 0.5}}
    (tmp_path / "index.json").write_text(json.dumps(settings), encoding="utf-8")
    np.testing.assert_array_equal(open_index(tmp_path).search(queries, 3)[1], index.search(queries, 3)[1])


def test_misuse_is_named(queries: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one label vector"):
        build_index(labels[:0], RetrievalParams())
    with pytest.raises(DataError, match="do not fit the index"):
        build_index(labels, RetrievalParams(kind="faiss-flat")).search(queries[:, :3], 1)
    build_index(labels, RetrievalParams()).save(tmp_path)
    (tmp_path / "vectors.npy").unlink()
    with pytest.raises(StateError, match="missing"):
        open_index(tmp_path)
