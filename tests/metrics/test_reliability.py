"""Reliability by bins and the expected calibration error, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from vixml.metrics.reliability import Reliability, log_loss


def test_the_error_against_a_loop():
    rng = np.random.default_rng(0)
    probabilities, true = rng.random(1000), rng.random(1000) < 0.4
    probabilities[:3] = (0, 1, 1)
    expected = 0.0
    for begin in range(7):
        inside = (probabilities >= begin / 7) & ((probabilities < (begin + 1) / 7) | (begin == 6))
        expected += abs(probabilities[inside].sum() - true[inside].sum()) / 1000
    found = Reliability.of(probabilities, true, bins=7)
    assert found.error == pytest.approx(expected)
    assert found.count.sum() == 1000


def test_bins_of_equal_mass():
    probabilities = np.linspace(0, 0.1, 90)
    found = Reliability.of(probabilities, np.zeros(90, dtype=bool), bins=9, equal_mass=True)
    assert found.count.tolist() == [10] * 9
    assert (np.diff(found.probability) > 0).all()
    assert found.error == pytest.approx(probabilities.mean())


def test_true_probabilities_have_next_to_no_error():
    rng = np.random.default_rng(1)
    probabilities = rng.random(100_000)
    assert Reliability.of(probabilities, rng.random(100_000) < probabilities).error < 0.01


@pytest.mark.parametrize("equal_mass", [False, True])
def test_the_error_by_chance_against_drawing_what_is_true(equal_mass: bool):
    rng = np.random.default_rng(2)
    probabilities = rng.beta(2, 3, size=2_000)
    truths = (rng.random(2_000) < probabilities for _ in range(400))
    drawn = [Reliability.of(probabilities, true, equal_mass=equal_mass) for true in truths]
    errors = [one.error for one in drawn]
    assert drawn[0].error_by_chance == pytest.approx(np.mean(errors), rel=0.03)
    assert {one.error_by_chance for one in drawn} == {drawn[0].error_by_chance}  # what is true does not matter


def test_no_pair_at_all():
    assert Reliability.of(np.zeros(0), np.zeros(0, dtype=bool)).error == 0
    assert Reliability.of(np.zeros(0), np.zeros(0, dtype=bool), equal_mass=True).error == 0
    assert Reliability.of(np.zeros(0), np.zeros(0, dtype=bool)).error_by_chance == 0


def test_log_loss_stays_finite():
    assert log_loss(np.array([0.5, 0.5]), np.array([True, False])) == pytest.approx(2 * np.log(2))
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False])))
