"""Bounds of head, torso and tail give the same groups as the frequencies; the groups: tests/evaluation/test_slices."""

from __future__ import annotations

import numpy as np
import pytest

from vixml.metrics.groups import group_bounds, groups_within, label_groups


@pytest.mark.parametrize("seed", range(5))
def test_bounds_say_the_same_as_the_groups(seed):
    rng = np.random.default_rng(seed)
    frequencies = (50 * rng.random(200) ** 4).astype(np.int64)
    np.testing.assert_array_equal(groups_within(frequencies, group_bounds(frequencies)), label_groups(frequencies))


def test_odd_catalogues():
    for frequencies in (np.zeros(4, dtype=np.int64), np.array([7]), np.array([1, 1, 1]), np.zeros(0, dtype=np.int64)):
        found = groups_within(frequencies, group_bounds(frequencies))
        np.testing.assert_array_equal(found, label_groups(frequencies))
