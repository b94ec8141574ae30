"""Curves: rising steps, groups of their own where there are enough pairs, and a regression that comes back equal."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from tests.calibration.worlds import make_ranking

from vixml.calibration.curves import RegressionCurve, StepCurve, Steps
from vixml.calibration.fit import true_pairs
from vixml.metrics.groups import group_bounds


@pytest.fixture(scope="module")
def world():
    scores, labels, relevance, _, frequencies = make_ranking(300)
    return scores, frequencies[labels], true_pairs(labels, relevance), frequencies


def test_steps_rise_and_stay_between_0_and_1(world):
    scores, _, true, _ = world
    steps = Steps.fit(scores.ravel(), true.ravel())
    found = steps.at(np.linspace(-1, 5, 500))
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] <= found[-1] <= 1


def test_a_group_with_few_pairs_gets_the_pooled_steps(world):
    scores, number, true, frequencies = world
    bounds = group_bounds(frequencies)
    few = StepCurve.fit(scores, number, true, bounds=bounds, min_pairs=10**6)
    assert few.groups == {}
    np.testing.assert_allclose(few.at(scores, number), few.pooled.at(scores))
    own = StepCurve.fit(scores, number, true, bounds=bounds, min_pairs=1)
    assert set(own.groups) == {"head", "torso", "tail"}
    head = number >= bounds[0]
    np.testing.assert_allclose(own.at(scores, number)[head], own.groups["head"].at(scores[head]))


@pytest.mark.parametrize("by_frequency", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
def test_a_regression_comes_back_from_its_document(world, by_frequency, cosine):
    scores, number, true, _ = world
    scores = scores / scores.max() * 2 - 1 if cosine else scores
    curve = RegressionCurve.fit(scores, number, true, by_frequency=by_frequency)
    assert curve.logarithmic != cosine
    again = RegressionCurve.model_validate_json(curve.model_dump_json())
    np.testing.assert_array_equal(again.at(scores, number), curve.at(scores, number))
    assert curve.at(scores, number).mean() == pytest.approx(true.mean(), abs=1e-3)


def test_a_query_has_the_same_probabilities_in_any_list_that_begins_alike(world):
    scores, number, true, _ = world
    curve = RegressionCurve.fit(scores, number, true, by_frequency=True)
    np.testing.assert_array_equal(curve.at(scores[:7, :5], number[:7, :5]), curve.at(scores, number)[:7, :5])


def test_a_curve_that_no_fit_writes_is_refused():
    with pytest.raises(ValidationError):
        Steps(scores=(0.0, 1.0), probabilities=(0.5,))
    with pytest.raises(ValidationError):
        Steps(scores=(0.0,), probabilities=(1.5,))
    with pytest.raises(ValidationError):
        Steps(scores=(float("nan"),), probabilities=(0.5,))
