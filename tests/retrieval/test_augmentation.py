"""Blended rankings: golden values, a slow oracle, filters, and what is missing is named."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from vixml.core.errors import ConfigError, StateError
from vixml.params.retrieval import AugmentationParams, RetrievalParams
from vixml.params.variant import VariantParams
from vixml.retrieval import augmentation
from vixml.retrieval.augmentation import Ranker, label_prior, open_ranker, softmax, sparse_top_k, without_pairs
from vixml.retrieval.index import build_index

_SPEC = importlib.util.spec_from_file_location(
    "oracle_augmentation", Path(__file__).parents[1] / "oracles" / "augmentation.py"
)
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

PLAIN = RetrievalParams(query_block=4)


def _unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _relevance(seed: int = 5) -> sp.csr_matrix:
    matrix = sp.random(30, 25, density=0.1, format="csr", random_state=seed, dtype=np.float32)
    matrix.data[:] = 1
    return sp.csr_matrix(matrix)


def _ranker(block: int = 4, **params: object) -> Ranker:
    labels, texts, queries = (build_index(_unit(rows, seed), PLAIN) for rows, seed in ((25, 1), (25, 2), (30, 3)))
    return Ranker(labels, AugmentationParams.model_validate(params), texts, queries, _relevance(), block=block)


def _dense(ranker: Ranker, queries: np.ndarray) -> np.ndarray:
    return ranker.mass(queries).toarray()


@pytest.mark.parametrize("mode", ["split", "joint"])
def test_golden_values(mode: str, golden_dir: Path) -> None:
    with np.load(golden_dir / "retrieval_augmented.npz", allow_pickle=False) as golden:
        relevance = sp.csr_matrix(
            (np.ones(len(golden["train_indices"]), np.float32), golden["train_indices"], golden["train_indptr"]),
            shape=tuple(golden["train_shape"]),
        )
        params = AugmentationParams(
            mode=mode,
            depth=int(golden["k_labels"]),
            temperature=float(golden["temperature"]),
            query_weight=float(golden["train_query_weight"]),
        )
        assert int(golden["k_joint"]) == 2 * params.depth
        labels, queries = (build_index(golden[name], RetrievalParams()) for name in ("label", "train_query"))
        ranker = Ranker(labels, params, queries=queries, relevance=relevance)
        expected = golden[f"{mode}_scores"]
        np.testing.assert_allclose(_dense(ranker, golden["query"]), expected, rtol=1e-5, atol=1e-6)
        scores, found = ranker.search(golden["query"], 5)
        np.testing.assert_allclose(scores, np.sort(expected, axis=1)[:, ::-1][:, :5], rtol=1e-4)
        np.testing.assert_allclose(np.take_along_axis(expected, found, 1), scores, rtol=1e-4)


@pytest.mark.parametrize("mode", ["split", "joint"])
@pytest.mark.parametrize("depth", [1, 7, 40])
def test_every_blend_equals_the_oracle(mode: str, depth: int) -> None:
    """Also where a search asks for more than there is."""
    ranker = _ranker(mode=mode, depth=depth, temperature=0.2, query_weight=0.4)
    queries = _unit(5, 9)
    relevance = _relevance().toarray().tolist()
    for row, query in enumerate(queries):
        expected = oracle.blended_scores(
            query, _unit(25, 1), _unit(30, 3), relevance, mode=mode, depth=depth, temperature=0.2, query_weight=0.4
        )
        np.testing.assert_allclose(_dense(ranker, queries)[row], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["none", "split", "joint"])
def test_excluded_pairs_never_come_back_and_blocks_do_not_matter(mode: str) -> None:
    queries = _unit(11, 9)
    exclude = sp.csr_matrix(sp.random(11, 25, density=0.3, format="csr", random_state=1))
    params = {"mode": mode, "depth": 12, "temperature": 0.2}
    scores, found = _ranker(block=4, **params).search(queries, 25, exclude=exclude)
    rows = np.repeat(np.arange(11), 25)[found.ravel() >= 0]
    assert not exclude[rows, found.ravel()[found.ravel() >= 0]].any()
    whole = _ranker(block=100, **params).search(queries, 25, exclude=exclude)
    np.testing.assert_array_equal(found, whole[1])
    np.testing.assert_allclose(scores, whole[0], rtol=1e-5)
    assert (np.diff(np.where(np.isfinite(scores), scores, -1e9), axis=1) <= 1e-6).all()


def test_top_entries_of_a_sparse_matrix() -> None:
    matrix = sp.csr_matrix(np.array([[0.0, 2.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], np.float32))
    scores, columns = sparse_top_k(matrix, 2)
    np.testing.assert_array_equal(columns, [[2, 1], [-1, -1], [0, -1]])
    np.testing.assert_array_equal(scores, np.array([[3, 2], [-np.inf, -np.inf], [1, -np.inf]], np.float32))


def test_pairs_leave_a_sparse_matrix() -> None:
    matrix = sp.csr_matrix(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    pairs = sp.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(without_pairs(matrix, pairs).toarray(), [[1.0, 0.0], [0.0, 4.0]])
    assert without_pairs(matrix, None) is matrix


def test_softmax_of_padding() -> None:
    values = softmax(np.array([[0.1, -np.inf], [-np.inf, -np.inf]], np.float32), 0.05)
    np.testing.assert_array_equal(values, [[1.0, 0.0], [0.0, 0.0]])


def test_what_is_missing_is_named() -> None:
    labels = build_index(_unit(25, 1), PLAIN)
    with pytest.raises(ConfigError, match="training queries"):
        Ranker(labels, AugmentationParams(mode="split")).search(_unit(2, 9), 3)
    queries = build_index(_unit(30, 3), PLAIN)
    torn = Ranker(labels, AugmentationParams(mode="joint"), queries=queries, relevance=_relevance()[:7])
    with pytest.raises(StateError, match="do not fit"):
        torn.search(_unit(2, 9), 3)


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_an_opened_ranker_ranks_the_same(kind: str, tmp_path: Path) -> None:
    """Further indexes come from sub-folders, or from the vectors where the search is exact; weights count as one."""
    np.save(tmp_path / "label_texts.npy", _unit(25, 2))
    np.save(tmp_path / "train_queries.npy", _unit(30, 3).astype(np.float16))
    settings = RetrievalParams(kind=kind)
    build_index(_unit(25, 1), settings).save(tmp_path / "index")
    if kind != "exact":
        build_index(_unit(25, 2), settings).save(tmp_path / "index" / "texts")
        build_index(_unit(30, 3), settings).save(tmp_path / "index" / "queries")
    params = {"mode": "split", "depth": 12}
    opened = open_ranker(
        tmp_path / "index", tmp_path, AugmentationParams.model_validate(params), relevance_train=_relevance() * 3
    )
    queries = _unit(6, 9)
    expected_scores, expected = _ranker(**params).search(queries, 5)
    scores, found = opened.search(queries, 5)
    assert (found == expected).mean() > 0.9
    np.testing.assert_allclose(scores, expected_scores, rtol=2e-2)
    assert opened.texts is not None
    assert (opened.texts.search(queries, 5)[1] == build_index(_unit(25, 2), PLAIN).search(queries, 5)[1]).all()
    assert (opened.nearest_queries(queries, 3)[1] == _ranker(**params).nearest_queries(queries, 3)[1]).mean() > 0.8


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_a_prior_counts_for_queries_without_an_image(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their labels are ordered by similarity + prior, the others as ever; filters hold."""
    vectors, queries = _unit(25, 1), _unit(9, 2)
    frequencies = np.random.default_rng(0).integers(0, 90, 25)
    prior = label_prior(frequencies, RetrievalParams(imageless_prior=0.3))
    np.testing.assert_allclose(prior, 0.3 * np.log(1 + frequencies), rtol=1e-6)
    labels = build_index(vectors, RetrievalParams(kind=kind, query_block=4))
    ranker, plain = (Ranker(labels, AugmentationParams(), prior=given) for given in (prior, None))
    imageless = np.arange(9) % 3 > 0
    exclude = sp.random(9, 25, density=0.2, format="csr", random_state=0)
    scores, found = ranker.search(queries, 6, exclude=exclude, imageless=imageless)
    dense = queries @ vectors.T + imageless[:, None] * prior
    dense[exclude.nonzero()] = -np.inf
    np.testing.assert_array_equal(found, np.argsort(-dense, axis=1)[:, :6])
    np.testing.assert_allclose(scores, np.take_along_axis(dense, found, axis=1), atol=1e-6)
    for one, mark in ((plain, imageless), (ranker, None), (ranker, np.zeros(9, dtype=bool))):
        for ours, theirs in zip(one.search(queries, 6, imageless=mark), labels.search(queries, 6), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr(augmentation, "_CANDIDATES", 7)
    for k in (3, 7, 20):
        scores, found = ranker.search(queries, k, imageless=imageless)
        np.testing.assert_array_equal(found[:, :3], ranker.search(queries, 3, imageless=imageless)[1])
        assert (np.diff(scores, axis=1) <= 0).all()
    monkeypatch.undo()
    few = ranker.search(queries, 40, imageless=imageless)
    assert (few[1][:, 25:] == -1).all()
    assert (few[1][:, :25] >= 0).all()


def test_a_query_with_an_image_does_not_notice_its_neighbours() -> None:
    """Even where a deeper search would find it more: the graph is searched for it as if it were alone."""
    vectors, queries = _unit(3000, 1), _unit(40, 2)
    labels = build_index(vectors, RetrievalParams(kind="faiss-hnsw", hnsw_neighbours=4, hnsw_search_depth=4))
    ranker = Ranker(labels, AugmentationParams(), prior=np.linspace(0, 0.3, 3000, dtype=np.float32))
    alone, deep = labels.search(queries, 3), labels.search(queries, 100)
    assert (alone[1] != deep[1][:, :3]).any(), "the case is there"
    imageless = np.arange(40) == 5
    found = ranker.search(queries, 3, imageless=imageless)
    for ours, theirs in zip(found, alone, strict=True):
        np.testing.assert_array_equal(ours[~imageless], theirs[~imageless])


def test_a_blend_takes_no_prior() -> None:
    """It knows frequencies from its training queries; no weight is no prior."""
    assert label_prior(np.arange(3), RetrievalParams()) is None
    with pytest.raises(ValueError, match=r"belongs to retrieval\.augmentation\.mode none"):
        VariantParams(retrieval={"imageless_prior": 0.1, "augmentation": {"mode": "split"}})
