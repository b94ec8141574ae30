import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from vixml.evaluation.metrics import query_metrics
from vixml.evaluation.slices import describe_groups, group_recall, label_coverage, label_groups, query_slices

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
