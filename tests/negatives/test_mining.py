"""Mining of hard negatives: equal to the slow definition, exactly and with faiss, and what is left out."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.negatives.worlds import mining_params, world
from tests.oracles import mining as oracle

from vixml.negatives.mining import mine_labels

FILTERS = [(None, None), (0.5, None), (None, 0.4), (0.3, 0.6)]


@pytest.mark.parametrize("count", [1, 4, 40])  # 40: more than there are
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("values", [1, 1 << 25])  # pair by pair, and all at once
def test_mining_equals_the_oracle(
    count: int, filters: tuple[float | None, float | None], values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vixml.negatives.mining._VALUES", values)
    monkeypatch.setattr("vixml.negatives.mining._ROWS", 7 if values == 1 else 1000)
    queries, prototypes, texts, relevance = world(1)
    mined = mine_labels(queries, prototypes, texts, relevance, params=mining_params(count, filters), device="cpu")
    expected = oracle.mined_labels(
        queries, prototypes, texts, relevance, count=count, similarity=filters[0], query_similarity=filters[1]
    )
    for labels, scores, wanted in zip(mined.labels, mined.scores, expected, strict=True):
        assert labels[labels >= 0].tolist() == [label for label, _ in wanted]
        np.testing.assert_allclose(scores[labels >= 0], [score for _, score in wanted], atol=1e-6)
        assert (scores[labels < 0] == -np.inf).all()
    assert (mined.near_duplicates > 0) == any(filters)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(1, 12))
def test_no_relevant_label_and_no_near_duplicate_is_ever_mined(
    seed: int, similarity: float, query_similarity: float, count: int
) -> None:
    queries, prototypes, texts, relevance = world(seed, 12, 18)
    params = mining_params(count, (similarity, query_similarity))
    mined = mine_labels(queries, prototypes, texts, relevance, params=params, device="cpu")
    for row, labels in enumerate(mined.labels):
        found, true = labels[labels >= 0], relevance[row].indices
        assert len(set(found)) == len(found)
        assert not set(found) & set(true)
        if len(true):
            assert (texts[found] @ texts[true].T < similarity + 1e-6).all()
        assert (prototypes[found] @ queries[row] < query_similarity + 1e-6).all()


@pytest.mark.parametrize("filters", FILTERS)
def test_faiss_mines_what_exact_search_does(filters: tuple[float | None, float | None]) -> None:
    found = world(2)
    exact, faiss = (
        mine_labels(*found, params=mining_params(6, filters, mining_index=kind), device="cpu")
        for kind in ("exact", "faiss-flat")
    )
    np.testing.assert_array_equal(exact.labels, faiss.labels)
    np.testing.assert_allclose(exact.scores, faiss.scores, atol=1e-6)
    assert exact.near_duplicates == faiss.near_duplicates


def test_what_is_left_out_is_listed() -> None:
    """Mined and left out together are the labels looked at, nearest first, and their share is the one reported."""
    queries, prototypes, texts, relevance = world(6)
    params = mining_params(4, (0.4, 0.5))
    mined = mine_labels(queries, prototypes, texts, relevance, params=params, device="cpu")
    everything = mine_labels(queries, prototypes, texts, relevance, params=mining_params(8, (None, None)), device="cpu")
    assert (len(everything.duplicates), len(everything.duplicates.values)) == (len(queries), 0)
    left_out = [mined.duplicates.row(row).tolist() for row in range(len(queries))]
    assert max(map(len, left_out)) > 1
    for row, looked_at in enumerate(everything.labels):
        kept = [label for label in looked_at if label >= 0 and label not in left_out[row]]
        assert mined.labels[row][mined.labels[row] >= 0].tolist() == kept[:4]
        assert left_out[row] == [label for label in looked_at if label in left_out[row]]
    assert sum(map(len, left_out)) / (everything.labels >= 0).sum() == pytest.approx(mined.near_duplicates)


def test_mining_reads_memory_maps_in_half_precision_and_copies_none(tmp_path: Path) -> None:
    """Queries are widened block by block, texts where they are compared; asked rows get what all would get."""
    rng, sizes = np.random.default_rng(6), {"queries": 30_000, "labels": 2_000}
    for name, count in sizes.items():
        vectors = rng.standard_normal((count, 64))
        np.save(tmp_path / f"{name}.npy", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16))
    queries, labels = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in sizes)
    relevance = sp.random(30_000, 2_000, density=0.001, format="csr", random_state=1, dtype=np.float32)
    rows, params = np.arange(0, 30_000, 1_000), mining_params(4, (0.5, None))
    tracemalloc.start()
    mined = mine_labels(queries, labels, labels, relevance, rows=rows, params=params, device="cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    widened = (np.asarray(part[:], dtype=np.float32) for part in (queries[rows], labels, labels))
    expected = mine_labels(*widened, relevance[rows], params=params, device="cpu")
    np.testing.assert_array_equal(mined.labels, expected.labels)
    np.testing.assert_array_equal(mined.duplicates.values, expected.duplicates.values)
    assert peak < labels.nbytes * 2
