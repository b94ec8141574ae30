"""Proposals against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.audit.worlds import NUM_LABELS, NUM_QUERIES, by_hand

from vixml.audit.proposals import COLUMNS, missing_pairs, proposal_table, wrong_pairs


@pytest.mark.parametrize("seed", range(4))
def test_missing_pairs_are_the_likeliest_unlabelled_ones(seed):
    scores, relevance, listed = by_hand(seed)
    has = relevance.toarray() > 0
    expected = sorted(
        (-listed[place, label], row, label)
        for place, row in enumerate(scores.rows)
        for label in range(NUM_LABELS)
        if listed[place, label] > 0 and not has[row, label]
    )
    found = missing_pairs(scores, relevance, 5)
    assert list(zip(found.rows, found.labels, strict=True)) == [(row, label) for _, row, label in expected[:5]]
    np.testing.assert_allclose(found.probability, [-one[0] for one in expected[:5]])
    assert len(missing_pairs(scores, relevance, 1000)) == len(expected)


@pytest.mark.parametrize("seed", range(4))
def test_wrong_pairs_are_unlike_the_others_of_their_label(seed):
    scores, relevance, listed = by_hand(seed)
    has = relevance.toarray()[scores.rows] > 0
    expected = []
    for place, row in enumerate(scores.rows):
        for label in np.flatnonzero(has[place]):
            others = [listed[one, label] for one in np.flatnonzero(has[:, label]) if one != place]
            if len(others) >= 2:
                usual = float(np.mean(others))
                expected.append((listed[place, label] - usual, row, label, usual))
    expected.sort(key=lambda one: one[0])
    found = wrong_pairs(scores, relevance, 4, min_support=2)
    assert list(zip(found.rows, found.labels, strict=True)) == [one[1:3] for one in expected[:4]]
    np.testing.assert_allclose(found.usual, [one[3] for one in expected[:4]], rtol=1e-5)


def test_nothing_to_propose():
    scores, relevance, _ = by_hand()
    nothing = relevance * 0
    nothing.eliminate_zeros()
    assert len(wrong_pairs(scores, nothing, 5, min_support=1)) == 0
    every = relevance.copy()
    every = every * 0 + np.ones(relevance.shape, dtype=np.float32)
    assert len(missing_pairs(scores, type(relevance)(every), 5)) == 0


def test_the_table_names_both_kinds_and_leaves_a_place_to_tick():
    scores, relevance, _ = by_hand()
    queries = pd.DataFrame({"uid": [f"q{n}" for n in range(NUM_QUERIES)], "text": "a"})
    labels = pd.DataFrame({"uid": [f"l{n}" for n in range(NUM_LABELS)], "text": "b"})
    missing = missing_pairs(scores, relevance, 3)
    wrong = wrong_pairs(scores, relevance, 2, min_support=1)
    table = proposal_table(missing, wrong, queries, labels)
    assert tuple(table.columns) == COLUMNS
    assert table["proposal"].tolist() == ["missing"] * 3 + ["wrong"] * 2
    assert set(table["accept"]) == {""}
    assert table["query_id"].tolist()[:3] == [f"q{row}" for row in missing.rows]
    assert table["usual"].isna().tolist() == [True] * 3 + [False] * 2
