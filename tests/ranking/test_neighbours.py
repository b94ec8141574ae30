"""Labels of the nearest training queries: against the oracle, in any block, and what the regression is for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import neighbours as oracle

from vixml.params.ranking import NeighbourParams
from vixml.ranking.neighbours import neighbour_scores
from vixml.ranking.similarity import Items, most_similar, similarities_within

WEIGHTS = {"text": 1.0, "image": 2.0, "terms": 0.5}


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _blocks(num: int, generator: np.random.Generator) -> dict[str, object]:
    image = _unit(generator.normal(size=(num, 5)))
    image[::3] = 0  # items without an image
    terms = _unit(generator.random((num, 7)) * (generator.random((num, 7)) < 0.4))
    return {"text": _unit(generator.normal(size=(num, 4))), "image": image, "terms": sp.csr_matrix(terms)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.1, 1.0]))
def test_scores_are_those_of_the_oracle(seed: int, neighbours: int, power: float, ridge: float) -> None:
    generator = np.random.default_rng(seed)
    queries, keys = _blocks(6, generator), _blocks(20, generator)
    relevance = (generator.random((20, 8)) < 0.3).astype(np.float32)
    params = NeighbourParams(neighbours=neighbours, power=power, ridge=ridge, query_block=4)
    found = neighbour_scores(Items.join(queries, WEIGHTS), Items.join(keys, WEIGHTS), sp.csr_matrix(relevance), params)
    expected = oracle.neighbour_scores(
        oracle.dense(queries), oracle.dense(keys), WEIGHTS, relevance, neighbours=neighbours, power=power, ridge=ridge
    )
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-3, atol=2e-4)  # single precision against double
    assert (found.data > 0).all()


def test_the_block_changes_nothing() -> None:
    generator = np.random.default_rng(1)
    queries, keys = (Items.join(_blocks(num, generator), WEIGHTS) for num in (33, 60))
    relevance = sp.random_array((60, 9), density=0.2, format="csr", rng=generator, dtype=np.float32)
    results = [
        neighbour_scores(queries, keys, sp.csr_matrix(relevance), NeighbourParams(neighbours=10, query_block=block))
        for block in (1, 7, 500)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other.toarray(), results[0].toarray(), atol=1e-5)


def test_similarity_is_the_mean_cosine_over_what_both_have() -> None:
    keys = Items.join(_blocks(9, np.random.default_rng(0)), WEIGHTS)
    within = similarities_within(keys, np.array([[0, 4, 8], [1, 2, 3]]))
    np.testing.assert_allclose(within[:, [0, 1, 2], [0, 1, 2]], 1, atol=1e-5)
    similarity, rows = most_similar(keys, keys, 20)
    assert rows.shape == (9, 9)
    assert rows[:, 0].tolist() == list(range(9))
    np.testing.assert_allclose(similarity[:, 0], 1, atol=1e-5)
    assert (np.diff(similarity, axis=1) <= 0).all()


def test_equal_neighbours_share_what_one_would_have() -> None:
    """Five copies of one training query weigh little more than it does alone: a vote by similarity would count five."""
    generator = np.random.default_rng(2)
    other, copied = _unit(generator.normal(size=(2, 6)))
    query = _unit((other + copied)[None])
    params = NeighbourParams(neighbours=6, ridge=0.1)

    def scores(copies: int) -> np.ndarray:
        keys = np.concatenate([other[None], np.tile(copied, (copies, 1))])
        relevance = sp.csr_matrix(np.eye(2, dtype=np.float32)[[0] + [1] * copies])
        spaces = ({"text": query}, {"text": keys})
        return neighbour_scores(*(Items.join(space, {"text": 1.0}) for space in spaces), relevance, params).toarray()[0]

    once, five = scores(1), scores(5)
    assert five[1] == pytest.approx(once[1], rel=0.15)
    assert five[0] == pytest.approx(once[0], rel=0.15)


def test_a_query_that_resembles_nothing_gets_no_label() -> None:
    keys = Items.join({"text": np.eye(3, 4, dtype=np.float32)}, {"text": 1.0})
    queries = Items.join({"text": np.eye(4, dtype=np.float32)[3:]}, {"text": 1.0})
    relevance = sp.csr_matrix(np.eye(3, dtype=np.float32))
    assert neighbour_scores(queries, keys, relevance, NeighbourParams()).nnz == 0
