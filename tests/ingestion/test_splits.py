"""The validation split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vixml.core.errors import ConfigError
from vixml.ingestion.splits import automatic_fraction, carve_validation


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    fraction=st.floats(0.0, 0.9),
    seed=st.integers(0, 5),
    grouped=st.booleans(),
)
def test_a_partition_that_never_cuts_a_group(groups, fraction, seed, grouped):
    codes = np.array(groups)
    try:
        train, validation = carve_validation(len(codes), fraction, seed, codes if grouped else None)
    except ConfigError:
        return
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(codes)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert len(validation) <= round(fraction * len(codes))
    if grouped:
        assert not set(codes[train]) & set(codes[validation])
    else:
        assert len(validation) == round(fraction * len(codes))


def test_seed_decides():
    first, again, other = (carve_validation(100, 0.2, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_zero_is_the_published_protocol():
    train, validation = carve_validation(5, 0.0, 0, np.zeros(5, dtype=np.int64))
    assert train.tolist() == [0, 1, 2, 3, 4]
    assert len(validation) == 0


def test_small_groups_fill_the_share():
    groups = np.array([0] * 90 + list(range(1, 11)))
    _, validation = carve_validation(100, 0.1, 3, groups)
    assert len(validation) == 10


@pytest.mark.parametrize(("num", "fraction", "groups"), [(3, 0.1, None), (3, 0.9, None), (4, 0.5, [0, 0, 0, 0])])
def test_an_impossible_share_is_an_error(num, fraction, groups):
    with pytest.raises(ConfigError, match="validation_fraction"):
        carve_validation(num, fraction, 0, None if groups is None else np.array(groups))


@pytest.mark.parametrize(
    ("num_points", "set_aside"), [(0, 0), (3, 0), (40, 10), (600, 100), (9_960, 996), (43_647, 2_000), (10**6, 2_000)]
)
def test_what_auto_sets_aside(num_points: int, set_aside: int):
    assert round(num_points * automatic_fraction(num_points)) == set_aside
