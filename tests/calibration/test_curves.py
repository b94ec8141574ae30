"""Curves: rising steps, groups of their own where there are enough pairs, and a regression that comes back equal."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from tests.calibration.worlds import make_ranking

from vixml.calibration.curves import LEAD, RegressionCurve, StepCurve, Steps, rank_weights
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
    share = rank_weights(scores)
    assert np.average(curve.at(scores, number), weights=share) == pytest.approx(
        np.average(true, weights=share), abs=1e-3
    )


def test_the_lead_of_the_first_label_tells(world):
    """Truth by the lead alone: a curve that does not look at it cannot know."""
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.uniform(0.2, 1, (4000, 12)), axis=1)
    lead = np.log(scores[:, :1] / scores[:, 1:2])
    true = (rng.random(scores.shape) < np.where(lead > 0.05, 0.9, 0.2)) & (np.arange(12) == 0)
    number = np.ones(scores.shape, dtype=np.int64)
    found = RegressionCurve.fit(scores, number, true, by_frequency=False).at(scores, number)[:, 0]
    clear = lead[:, 0] > 0.15
    close = lead[:, 0] < 0.02
    assert found[clear].mean() > 0.8
    assert found[close].mean() < 0.4


def test_a_curve_of_an_earlier_version_opens():
    """It does not look at the lead, and has two weights less."""
    document = {"kind": "regression", "logarithmic": True, "range": [-3.0, 0.0], "by_frequency": False}
    five = {"mean": [0.0] * 5, "scale": [1.0] * 5, "weights": [1.0, 0, 0, 0, 0], "intercept": 0.0}
    curve = RegressionCurve.model_validate({**document, **five})
    assert not curve.lead
    np.testing.assert_allclose(curve.at(np.array([[1.0, 0.5]]), np.ones((1, 2), dtype=int)), [[0.5, 1 / 3]])
    with pytest.raises(ValidationError):
        RegressionCurve.model_validate({**document, **five, "lead": True})


def test_a_query_has_the_same_probabilities_in_any_list_that_begins_alike(world):
    scores, number, true, _ = world
    curve = RegressionCurve.fit(scores, number, true, by_frequency=True)
    np.testing.assert_array_equal(curve.at(scores[:7, :LEAD], number[:7, :LEAD]), curve.at(scores, number)[:7, :LEAD])


def test_a_curve_that_no_fit_writes_is_refused():
    with pytest.raises(ValidationError):
        Steps(scores=(0.0, 1.0), probabilities=(0.5,))
    with pytest.raises(ValidationError):
        Steps(scores=(0.0,), probabilities=(1.5,))
    with pytest.raises(ValidationError):
        Steps(scores=(float("nan"),), probabilities=(0.5,))
