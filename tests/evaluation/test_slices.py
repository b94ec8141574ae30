import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from vixml.evaluation.slices import (
    GROUPS,
    TEXTS,
    describe_groups,
    group_recall,
    label_coverage,
    label_groups,
    never_predicted,
    query_masks,
    query_slices,
    slice_report,
    text_bounds,
)
from vixml.metrics.ranking import query_metrics

TRUE = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=np.float32))
TOP = np.array([[0, 3], [2, 1], [0, -1]], dtype=np.int32)


def test_groups_hold_a_third_of_the_points_each():
    frequencies = np.array([1, 30, 10, 10, 10, 1, 0] + [1] * 28)
    groups = label_groups(frequencies)
    assert groups.tolist() == [2, 0, 1, 1, 1, 2, 2] + [2] * 28
    assert describe_groups(frequencies, groups) == [
        {"labels": 1, "least": 30, "most": 30},
        {"labels": 3, "least": 10, "most": 10},
        {"labels": 31, "least": 0, "most": 1},
    ]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_more_frequent_labels_are_never_in_a_rarer_group(frequencies):
    frequencies = np.array(frequencies)
    groups = label_groups(frequencies)
    order = np.argsort(-frequencies)
    assert (np.diff(groups[order]) >= 0).all()
    assert all(len(set(groups[frequencies == value])) == 1 for value in frequencies)
    assert set(groups) <= {0, 1, 2}


def test_group_recall_and_coverage_count_true_pairs(monkeypatch):
    groups = np.array([0, 1, 1, 2], dtype=np.int8)
    for rows in (16_384, 2):  # whole and in blocks
        monkeypatch.setattr("vixml.evaluation.slices._BLOCK_ROWS", rows)
        # pairs: (0,0) hit, (0,1) missed, (1,1) hit, (1,2) hit
        assert group_recall(TOP, TRUE, groups) == [1.0, pytest.approx(2 / 3), None]
        assert label_coverage(TOP, TRUE) == 1.0
        assert label_coverage(TOP[:, :1], TRUE) == pytest.approx(2 / 3)


def test_slices_of_queries_have_their_own_means():
    metrics = query_metrics(TOP.astype(np.int64), TRUE, np.ones(4), [1])
    found = query_slices(metrics, {"shown": np.array([True, False, True]), "none": np.zeros(3, dtype=bool)})
    assert found["shown"]["queries"] == 2
    assert found["shown"]["metrics"]["P@1"] == pytest.approx(0.5)
    assert found["none"] == {"queries": 0, "metrics": dict.fromkeys(metrics.values, 0.0)}


def items(words: list[int], shown: list[bool] | None = None) -> pd.DataFrame:
    shown = shown or [False] * len(words)
    images = [["a.png"] if has else [] for has in shown]
    return pd.DataFrame({"text": [" ".join(["w"] * count) for count in words], "images": images})


@given(st.lists(st.integers(0, 9), max_size=40))
def test_texts_are_parted_by_their_length(words):
    masks = query_masks(items(words))
    assert (sum(masks[name].astype(int) for name in TEXTS) == 1).all()
    short, medium = text_bounds(items(words))
    assert short <= medium
    assert masks["short text"].tolist() == [count <= short for count in words]
    assert masks["long text"].tolist() == [count > medium for count in words]


def test_distinct_lengths_make_thirds():
    masks = query_masks(items([9, 1, 2, 8, 3, 7, 4, 6, 5]))
    assert [int(masks[name].sum()) for name in TEXTS] == [3, 3, 3]
    assert text_bounds(items([9, 1, 2, 8, 3, 7, 4, 6, 5])) == (3, 6)


@given(st.integers(0, 10**6))
def test_the_slice_report_equals_loops(seed):
    rng = np.random.default_rng(seed)
    num_queries, num_labels, k = 12, 9, 4
    dense = rng.random((num_queries, num_labels)) < 0.2
    top = np.stack([rng.permutation(num_labels)[:k] for _ in range(num_queries)])
    top[rng.random(top.shape) < 0.1] = -1
    frequencies, shown = rng.integers(0, 9, num_labels), (rng.random(num_queries) < 0.5).tolist()
    words = rng.integers(1, 9, num_queries).tolist()
    relevance = sp.csr_matrix(dense.astype(np.float32))
    metrics = query_metrics(top, relevance, np.ones(num_labels), [1, k])
    report = slice_report(
        top,
        metrics,
        items=items(words, shown),
        relevance=relevance,
        frequencies=frequencies,
        ks=[1, k],
        names=["P@1", "R@4", "R@100"],
    )
    groups = label_groups(frequencies)
    for depth in (1, k):
        hits = {(row, label) for row in range(num_queries) for label in top[row, :depth] if label >= 0}
        predicted = {label for _, label in hits}
        assert report["never_predicted"][f"@{depth}"] == pytest.approx(1 - len(predicted) / num_labels)
        true = set(zip(*np.nonzero(dense), strict=True))
        wanted = {label for _, label in true}
        found = {label for _, label in true & hits}
        assert report["found"][f"@{depth}"] == pytest.approx(len(found) / max(1, len(wanted)))
        for position, name in enumerate(GROUPS):
            pairs = {pair for pair in true if groups[pair[1]] == position}
            expected = len(pairs & hits) / len(pairs) if pairs else None
            assert report["labels"][name][f"recall@{depth}"] == (None if expected is None else pytest.approx(expected))
    for name, part in report["queries"].items():
        rows = [row for row in range(num_queries) if query_masks(items(words, shown))[name][row]]
        assert part["queries"] == len(rows)
        assert part.keys() == {"queries", "P@1", "R@4"}
        first = [row for row in rows if top[row, 0] >= 0 and dense[row, top[row, 0]]]
        assert part["P@1"] == pytest.approx(len(first) / max(1, len(rows)))


def test_padding_is_no_prediction():
    assert never_predicted(np.array([[0, -1], [-1, -1]]), 4) == 0.75
    assert never_predicted(np.zeros((0, 3), dtype=np.int64), 2) == 1.0
