"""Probabilities are near the truth that was drawn, chosen by what they tell of unseen queries, and absent otherwise."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from tests.calibration.worlds import make_ranking

from vixml.calibration.calibration import Absent, Calibration
from vixml.calibration.fit import fit_calibration, true_pairs
from vixml.params.ranking import CalibrationParams

PARAMS = CalibrationParams(depth=30, folds=4)


def test_probabilities_are_those_that_truth_was_drawn_with():
    scores, labels, relevance, _, frequencies = make_ranking(800)
    found = fit_calibration(scores, labels, relevance, frequencies, PARAMS)
    assert isinstance(found, Calibration)
    losses = found.report["log_loss"]
    assert losses["steps"] > losses["regression"], "margin and rank tell more than the score alone"
    assert found.report["kind"].startswith("regression")
    scores, labels, relevance, truth, _ = make_ranking(800, seed=1)
    probabilities = found.probabilities(scores, labels, frequencies)
    assert np.abs(probabilities - truth).mean() < 0.02
    for depth in (1, 5, 30):  # not against the sample: 15 bins of 53 first labels are 0.04 off by chance alone
        assert np.abs(probabilities - truth)[:, :depth].mean() < 0.025
        assert abs((probabilities - truth)[:, :depth].mean()) < 0.01


def test_the_wrong_labels_of_the_whole_list_count():
    scores, labels, relevance, _, frequencies = make_ranking(600)
    found = fit_calibration(scores, labels, relevance, frequencies, PARAMS)
    assert found.report["pairs"] == 600 * 30
    expected = found.probabilities(scores, labels, frequencies).sum()
    assert np.isclose(expected, relevance.nnz, rtol=0.02), "as many true labels as there are"


def test_thresholds_keep_their_precision_on_other_queries():
    scores, labels, relevance, _, frequencies = make_ranking(800)
    found = fit_calibration(scores, labels, relevance, frequencies, PARAMS)
    scores, labels, relevance, _, _ = make_ranking(2000, seed=2)
    probabilities, true = found.probabilities(scores, labels, frequencies), true_pairs(labels, relevance)
    for target in (0.3, 0.5, 0.6):
        threshold = found.precision.keeping(target)
        assert threshold.low >= target
        chosen = probabilities >= threshold.probability
        assert true[chosen].mean() >= target - 0.01


def test_too_few_pairs_give_no_probabilities():
    scores, labels, relevance, _, frequencies = make_ranking(20)
    found = fit_calibration(scores, labels, relevance, frequencies, CalibrationParams(min_pairs=5000))
    assert isinstance(found, Absent)
    assert "20 validation queries" in found.absent
    none = sp.csr_matrix(relevance.shape, dtype=np.float32)
    assert isinstance(fit_calibration(scores, labels, none, frequencies, PARAMS), Absent)


def test_true_pairs_are_looked_up_pair_by_pair():
    _, labels, relevance, _, _ = make_ranking(30)
    labels = labels.copy()
    labels[3, 20:] = -1
    graded = relevance.copy()
    graded.data[0] = 0
    found, dense = true_pairs(labels, graded), graded.toarray() > 0
    for row, column in np.ndindex(*labels.shape):
        assert found[row, column] == (labels[row, column] >= 0 and dense[row, labels[row, column]])
