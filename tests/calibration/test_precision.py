"""Precision at thresholds, and intervals that know that pairs of one query hang together."""

from __future__ import annotations

import numpy as np
import pytest

from vixml.calibration.precision import PrecisionCurve, wilson
from vixml.core.errors import ConfigError


def _curve(probabilities, true, **more):
    return PrecisionCurve.of(probabilities, true, pairs=int(true.sum()) + 5, confidence=0.95, **more)


def test_what_is_counted_at_a_threshold():
    probabilities = np.array([[0.9, 0.5, np.nan], [0.8, 0.2, 0.1]])
    true = np.array([[True, False, False], [True, True, False]])
    found = _curve(probabilities, true, thresholds=np.array([0.2, 0.6])).at(0)
    assert (found.probability, found.precision, found.answered) == (0.2, 0.75, 1.0)
    assert found.labels_per_query == 2
    assert found.recall == 3 / 8
    assert found.low < 0.75 < found.high


def test_wilson_against_published_numbers():
    """Newcombe, Statistics in Medicine 1998, table I: 81 of 263 and 0 of 20."""
    assert wilson(81 / 263, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20, 0.95) == pytest.approx((0, 0.1611), abs=1e-4)


def test_pairs_of_one_query_are_worth_fewer():
    """All pairs of a query are right, or all wrong: as many pairs as queries, not five times as many."""
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.7
    together = np.repeat(right[:, None], 5, axis=1)
    apart = rng.random((200, 5)) < 0.7
    same = np.full((200, 5), 0.7)
    one, other = (_curve(same, true).at(0) for true in (together, apart))
    assert one.high - one.low > 1.8 * (other.high - other.low)
    assert _curve(same, together).effective[0] == pytest.approx(200, rel=0.02)


def test_the_interval_holds_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        level = np.clip(0.7 + 0.2 * rng.normal(size=(150, 1)), 0, 1)
        found = _curve(np.full((150, 4), 0.7), rng.random((150, 4)) < level).at(0)
        inside += found.low <= 0.69 <= found.high  # the mean of the clipped levels
    assert inside >= 180


def test_the_lowest_threshold_that_keeps_a_precision():
    rng = np.random.default_rng(1)
    probabilities = rng.random((500, 10))
    true = rng.random((500, 10)) < probabilities
    found = _curve(probabilities, true)
    threshold = found.keeping(0.8)
    assert threshold.low >= 0.8
    assert 0.55 < threshold.probability < 0.7, "all pairs above 0.6 are right in 80 % of the cases"
    with pytest.raises(ConfigError, match="no threshold keeps"):
        found.keeping(1.0)
