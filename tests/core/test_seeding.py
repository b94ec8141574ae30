"""Named random streams: the same numbers for the same name, whatever else draws."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vixml.core.seeding import derive_seed, global_stream, numpy_generator, one_thread, torch_generator


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


def test_a_global_stream_is_the_same_in_every_thread_and_leaves_no_trace() -> None:
    def draw(name: str) -> list[float]:
        with global_stream(3, name):
            return [float(torch.rand(())) for _ in range(200)]

    expected = {name: draw(name) for name in "abcd"}
    assert len({tuple(numbers) for numbers in expected.values()}) == 4
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        for name, numbers in zip("abcd" * 5, pool.map(draw, "abcd" * 5), strict=True):
            assert numbers == expected[name]
    assert torch.equal(torch.get_rng_state(), before)


def test_libraries_are_loaded_by_one_thread_at_a_time() -> None:
    inside: list[int] = []

    @one_thread()
    def load(_: int) -> int:
        inside.append(1)
        with one_thread():  # what is loaded may load something itself
            time.sleep(0.002)
        return len(inside) - (inside.pop() - 1)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(load, range(20))) == {1}
