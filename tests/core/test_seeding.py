"""Named random streams: the same numbers for the same name, whatever else draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vixml.core.seeding import derive_seed, numpy_generator, torch_generator


def test_a_seed_stays_what_it_was() -> None:
    """Published results rest on it: another number would change every one of them."""
    assert derive_seed(0, "batches", 3) == 7057784065625446175


@pytest.mark.parametrize("other", [(1, "a", 2), (0, "b", 2), (0, "a", 3), (0, "a"), (0, "a", 2, 0)])
def test_another_seed_or_name_is_another_stream(other: tuple[int | str, ...]) -> None:
    assert derive_seed(*other) != derive_seed(0, "a", 2)  # type: ignore[arg-type]


def test_generators_repeat_and_fit_both_libraries() -> None:
    for seed in range(20):
        assert 0 <= derive_seed(seed, "x") < 2**63
    np.testing.assert_array_equal(numpy_generator(5, "x").random(4), numpy_generator(5, "x").random(4))
    one, two = (torch.rand(4, generator=torch_generator(5, "x")) for _ in range(2))
    assert torch.equal(one, two)
