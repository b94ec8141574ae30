"""Mined hard negatives against a slow definition, what they never are, and what a refresh says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import mining as oracle

from vixml.core.errors import StateError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.negatives.curriculum import is_due, refresh_number
from vixml.negatives.mining import Mined, mine_labels
from vixml.negatives.report import changed_share, clusters_report, negatives_report
from vixml.negatives.table import MinedTable
from vixml.params.batching import BatchingParams

FILTERS = [(None, None), (0.5, None), (None, 0.4), (0.3, 0.6)]


def _unit(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors in few dimensions: many are close to each other."""
    vectors = rng.standard_normal((rows, 4)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _ragged(rows: list[list[int]]) -> RaggedArray:
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    return RaggedArray(values, offsets_of(np.array([len(row) for row in rows])))


def _world(seed: int, queries: int = 30, labels: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, sp.csr_matrix]:
    """Queries, prototypes, texts, and relevance with some queries that have no label."""
    rng = np.random.default_rng(seed)
    relevance = sp.csr_matrix((rng.random((queries, labels)) < 0.08).astype(np.float32))
    return _unit(queries, rng), _unit(labels, rng), _unit(labels, rng), relevance


def _params(count: int, filters: tuple[float | None, float | None], **more: object) -> BatchingParams:
    return BatchingParams(
        mined_labels=count, duplicate_similarity=filters[0], duplicate_query_similarity=filters[1], **more
    )


@pytest.mark.parametrize("count", [1, 4, 40])  # 40: more than there are
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("values", [1, 1 << 25])  # pair by pair, and all at once
def test_mining_equals_the_oracle(
    count: int, filters: tuple[float | None, float | None], values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vixml.negatives.mining._VALUES", values)
    monkeypatch.setattr("vixml.negatives.mining._ROWS", 7 if values == 1 else 1000)
    queries, prototypes, texts, relevance = _world(1)
    mined = mine_labels(queries, prototypes, texts, relevance, params=_params(count, filters), device="cpu")
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
    queries, prototypes, texts, relevance = _world(seed, 12, 18)
    params = _params(count, (similarity, query_similarity))
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
    world = _world(2)
    exact, faiss = (
        mine_labels(*world, params=_params(6, filters, mining_index=kind), device="cpu")
        for kind in ("exact", "faiss-flat")
    )
    np.testing.assert_array_equal(exact.labels, faiss.labels)
    np.testing.assert_allclose(exact.scores, faiss.scores, atol=1e-6)
    assert exact.near_duplicates == faiss.near_duplicates


def test_draws_are_different_labels_of_the_querys_own() -> None:
    """Every one of a query's labels comes up, none twice in a draw, and padding never."""
    mined = np.array([[3, 5, 8, -1], [-1, -1, -1, -1], [1, -1, 2, 9]], dtype=np.int32)
    table = MinedTable(mined, _ragged([[], [], []]))
    seen: set[int] = set()
    for step in range(50):
        drawn = table.draw(np.array([0, 1]), 2, np.random.default_rng(step))
        assert len(drawn) == len(set(drawn)) == 2
        seen |= set(drawn.tolist())
    assert seen == {3, 5, 8}
    assert sorted(table.draw(np.array([2, 0]), 4, np.random.default_rng(0))) == [1, 2, 3, 5, 8, 9]
    same = MinedTable(mined, _ragged([[2], [], [8, 7]]))  # what one query must not have, none of the batch gets
    assert sorted(same.draw(np.array([2, 0]), 4, np.random.default_rng(0))) == [1, 3, 5, 9]
    assert sorted(same.draw(np.array([0]), 4, np.random.default_rng(0))) == [3, 5, 8]


@pytest.mark.parametrize("left_out", [[[2], [], [8, 7]], [[], [], []]])
def test_a_table_on_disk(tmp_path: Path, left_out: list[list[int]]) -> None:
    """Opened again it draws the same; one that does not say what was left out is refused with the way on."""
    table = MinedTable(np.array([[3, 5, 8], [-1, -1, -1], [1, 2, 9]], dtype=np.int32), _ragged(left_out))
    table.save(tmp_path)
    again = MinedTable.open(tmp_path, remedy="do this.")
    drawn = [part.draw(np.array([2, 0]), 2, np.random.default_rng(0)).tolist() for part in (table, again)]
    assert drawn[0] == drawn[1]
    again.save(tmp_path / "..")  # from the memory map, as a later checkpoint does
    (tmp_path / "near_duplicate_offsets.npy").unlink()
    with pytest.raises(StateError, match=r"do not say what was left out.*do this"):
        MinedTable.open(tmp_path, remedy="do this.")


def test_no_query_of_a_batch_meets_a_near_duplicate_that_another_one_mined() -> None:
    """Families of three nearly equal labels, batches of similar queries: the pool's mined labels are safe for all."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.standard_normal((40, 16)), 3, axis=0) + 0.03 * rng.standard_normal((120, 16))
    true = rng.integers(0, 120, 300)
    queries = labels[true] + 0.1 * rng.standard_normal((300, 16))
    labels, queries = (
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32) for rows in (labels, queries)
    )
    relevance = sp.csr_matrix((np.ones(300, np.float32), (np.arange(300), true)), shape=(300, 120))
    mined = mine_labels(queries, labels, labels, relevance, params=_params(8, (0.95, None)), device="cpu")
    near = labels @ labels.T >= 0.95
    rows = np.argsort(queries @ labels[0])[:64]
    met = np.unique(MinedTable(mined.labels, _ragged([[]] * 300)).draw(rows, 3, rng))
    assert (near[true[rows]][:, met] & (true[rows][:, None] != met)).any(), "without the list they do"
    met = np.unique(MinedTable(mined.labels, mined.duplicates).draw(rows, 3, rng))
    assert len(met) > 20
    assert not (near[true[rows]][:, met] & (true[rows][:, None] != met)).any()


def test_what_is_left_out_is_listed() -> None:
    """Mined and left out together are the labels looked at, nearest first, and their share is the one reported."""
    queries, prototypes, texts, relevance = _world(6)
    params = _params(4, (0.4, 0.5))
    mined = mine_labels(queries, prototypes, texts, relevance, params=params, device="cpu")
    everything = mine_labels(queries, prototypes, texts, relevance, params=_params(8, (None, None)), device="cpu")
    assert (len(everything.duplicates), len(everything.duplicates.values)) == (len(queries), 0)
    left_out = [mined.duplicates.row(row).tolist() for row in range(len(queries))]
    assert max(map(len, left_out)) > 1
    for row, looked_at in enumerate(everything.labels):
        kept = [label for label in looked_at if label >= 0 and label not in left_out[row]]
        assert mined.labels[row][mined.labels[row] >= 0].tolist() == kept[:4]
        assert left_out[row] == [label for label in looked_at if label in left_out[row]]
    assert sum(map(len, left_out)) / (everything.labels >= 0).sum() == pytest.approx(mined.near_duplicates)


def test_when_mined_labels_are_renewed() -> None:
    """Refreshes inside the hard stage count from one; the exact one is number zero."""
    params = BatchingParams(start_epoch=10, update_every=5, double_at=[22])
    assert [refresh_number(epoch, params) for epoch in (10, 14, 15, 20, 22, 25)] == [0, 0, 1, 2, 3, 4]
    assert [number for number in range(7) if is_due(number, 2)] == [2, 4, 6]
    assert not any(is_due(number, 0) for number in range(7))


def test_the_report_equals_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vixml.negatives.report._PAIRS", 5)
    queries, prototypes, texts, relevance = _world(3)
    mined = mine_labels(queries, prototypes, texts, relevance, params=_params(4, (0.5, None)), device="cpu")
    scores, true = queries @ prototypes.T, relevance.toarray() > 0
    kept = [scores[row, labels[labels >= 0]] for row, labels in enumerate(mined.labels)]
    known = [row for row in range(len(queries)) if true[row].any() and len(kept[row])]
    report = negatives_report(queries, prototypes, relevance, mined)
    assert report["positive_similarity"] == pytest.approx(scores[true].mean(), abs=1e-6)
    assert report["negative_similarity"] == pytest.approx(np.concatenate(kept).mean(), abs=1e-6)
    assert report["hardest_negative_similarity"] == pytest.approx(np.mean([max(kept[r]) for r in known]), abs=1e-6)
    assert report["violation_rate"] == pytest.approx(np.mean([max(kept[r]) > scores[r][true[r]].max() for r in known]))
    assert "negatives_changed" not in report
    before = np.roll(mined.labels, 1, axis=1)
    before[:, 0] = 99
    again = negatives_report(queries, prototypes, relevance, mined, before)
    lost = sum(labels[-1] >= 0 for labels in mined.labels)
    assert again["negatives_changed"] == pytest.approx(lost / (mined.labels >= 0).sum())


def test_clusters_are_compared_with_those_before() -> None:
    queries, _, _, relevance = _world(4)
    rng = np.random.default_rng(0)
    clusters, previous = (np.array_split(rng.permutation(30), parts) for parts in (4, 3))
    report = clusters_report(queries.astype(np.float16), relevance, clusters, previous)
    pure, apart = oracle.neighbour_shares(clusters, relevance, previous)
    assert report["cluster_purity"] == pytest.approx(pure)
    assert report["neighbours_changed"] == pytest.approx(apart)
    cohesion = sum(np.linalg.norm(queries[cluster].sum(axis=0)) for cluster in clusters) / 30
    assert report["cluster_cohesion"] == pytest.approx(cohesion, abs=1e-3)
    assert (report["clusters"], report["cluster_size"]) == (4, 7.5)
    assert clusters_report(queries, relevance, clusters, clusters)["neighbours_changed"] == 0
    assert "neighbours_changed" not in clusters_report(queries, relevance, clusters)


def test_changed_share_ignores_order_and_padding() -> None:
    now, before = np.array([[1, 2, -1], [4, 5, 6]]), np.array([[2, 1, 7], [6, 9, -1]])
    assert changed_share(now, before) == pytest.approx(2 / 5)
    assert changed_share(np.full((1, 2), -1), before[:1]) == 0


def test_a_query_without_negatives_is_left_out_of_the_rates() -> None:
    queries, prototypes, _, relevance = _world(5)
    none, without = np.full((30, 2), -1, np.int32), np.full((30, 2), -np.inf, np.float32)
    nothing = Mined(none, without, _ragged([[]] * 30), 1.0)
    report = negatives_report(queries, prototypes, relevance, nothing)
    assert (report["violation_rate"], report["negative_similarity"], report["near_duplicates"]) == (0.0, 0.0, 1.0)
