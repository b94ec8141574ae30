"""Which of the ranked labels are given: likely ones, ones that keep a precision, the first few."""

from __future__ import annotations

import numpy as np
import pytest

from vixml.calibration.calibration import NO_VALIDATION, Absent, Calibration
from vixml.calibration.curves import StepCurve, Steps
from vixml.calibration.precision import PrecisionCurve
from vixml.core.errors import ConfigError
from vixml.serving.answers import Ranked, Selection, whole_number

NAN = np.float32(np.nan)


@pytest.fixture(scope="module")
def calibration():
    """Probability is the score; 80 % of the pairs above a half are right."""
    rng = np.random.default_rng(0)
    likely = np.repeat(np.array([[0.9, 0.6, 0.1]]), 300, axis=0)
    true = rng.random((300, 3)) < np.array([0.95, 0.7, 0.1])
    steps = StepCurve(bounds=(1, 1), pooled=Steps(scores=(0.0, 1.0), probabilities=(0.0, 1.0)))
    return Calibration(curve=steps, precision=PrecisionCurve.of(likely, true, pairs=600, confidence=0.95))


@pytest.fixture
def ranked():
    likely = np.array([[0.9, 0.2, 0.7], [0.3, NAN, 0.1], [0.8, NAN, NAN]], dtype=np.float32)
    rows = np.array([[4, 2, 9], [1, 3, 5], [7, -1, -1]])
    scores = np.array([[3, 2, 1], [3, 2, 1], [3, -np.inf, -np.inf]], dtype=np.float32)
    return Ranked(np.zeros((3, 2), dtype=np.float32), scores, rows, likely)


@pytest.mark.parametrize("k", [0, -1, 1.5, float("nan"), float("inf"), "3", None, True])
def test_how_many_labels_is_a_whole_number(k):
    with pytest.raises(ConfigError, match="a whole number of at least 1"):
        whole_number(k)
    assert [whole_number(right) for right in (3, 3.0, np.int64(3))] == [3, 3, 3]


@pytest.mark.parametrize("value", ["0.5", float("nan"), 2, -0.1])
def test_a_probability_is_one(value):
    with pytest.raises(ConfigError, match="0 to 1"):
        Selection(min_probability=value)


def test_likely_labels_move_up_in_their_order(ranked, calibration):
    found = Selection(min_probability=0.25).of(ranked, calibration)
    assert found.rows.tolist() == [[4, 9, -1], [1, -1, -1], [7, -1, -1]]
    assert found.scores.tolist() == [[3, 1, -np.inf], [3, -np.inf, -np.inf], [3, -np.inf, -np.inf]]
    np.testing.assert_array_equal(found.probabilities[0], np.array([0.9, 0.7, np.nan], dtype=np.float32))


def test_a_label_of_unknown_probability_is_not_likely(ranked, calibration):
    assert 3 not in Selection(min_probability=0.0).of(ranked, calibration).rows
    assert 3 in Selection(max_labels=2).of(ranked, calibration).rows


def test_at_most_so_many_labels(ranked, calibration):
    found = Selection(max_labels=1).of(ranked, calibration)
    assert found.rows.tolist() == [[4, -1, -1], [1, -1, -1], [7, -1, -1]]
    both = Selection(min_probability=0.5, max_labels=1).of(ranked, calibration)
    assert both.rows.tolist() == [[4, -1, -1], [-1, -1, -1], [7, -1, -1]]


def test_a_precision_is_kept_by_its_threshold(ranked, calibration):
    chosen = Selection(min_precision=0.75)
    assert chosen.threshold(calibration).probability == 0.6
    assert chosen.of(ranked, calibration).rows.tolist() == [[4, 9, -1], [-1, -1, -1], [7, -1, -1]]
    stricter = Selection(min_precision=0.75, min_probability=0.85)
    assert stricter.of(ranked, calibration).rows.tolist() == [[4, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    with pytest.raises(ConfigError, match="no threshold keeps"):
        Selection(min_precision=0.999).of(ranked, calibration)


def test_nothing_asked_nothing_changed(ranked, calibration):
    for one in (ranked, ranked._replace(probabilities=None)):
        found = Selection().of(one, calibration)
        np.testing.assert_array_equal(found.rows, ranked.rows)


def test_a_model_without_probabilities_says_why(ranked):
    absent = Absent(absent=NO_VALIDATION)
    for chosen in (Selection(min_probability=0.1), Selection(min_precision=0.1)):
        with pytest.raises(ConfigError, match="no validation split"):
            chosen.of(ranked._replace(probabilities=None), absent)
    assert Selection(max_labels=1).of(ranked._replace(probabilities=None), absent).rows[0].tolist() == [4, -1, -1]


@pytest.mark.parametrize("wrong", [{"min_probability": 1.5}, {"min_precision": -0.1}, {"max_labels": 0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        Selection(**wrong)
