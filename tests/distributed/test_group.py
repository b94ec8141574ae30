"""What ranks tell each other, in three processes; and that one process needs none of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.distributed import group
from vixml.distributed.launch import Machines, launch


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    """What each of three ranks ended with."""
    folder = tmp_path_factory.mktemp("told")
    launch("tests.distributed.primitives", [str(folder)], folder=folder, machines=Machines(3))
    found = []
    for rank in range(3):
        with np.load(folder / f"{rank}.npz") as saved:
            found.append(dict(saved))
    return found


def test_all_ranks_end_with_the_same(told: list[dict[str, np.ndarray]]) -> None:
    own = {"rank", "share", "consecutive"}
    for found in told[1:]:
        for name in found.keys() - own:
            np.testing.assert_array_equal(found[name], told[0][name], err_msg=name)


def test_shares_are_all_there_is(told: list[dict[str, np.ndarray]]) -> None:
    assert [int(found["rank"]) for found in told] == [0, 1, 2]
    for name in ("share", "consecutive"):
        assert sorted(np.concatenate([found[name] for found in told])) == list(range(10)), name


def test_sums_parts_and_decisions(told: list[dict[str, np.ndarray]]) -> None:
    found = told[0]
    np.testing.assert_array_equal(found["sum"], np.full((2, 3), 6.0))
    np.testing.assert_array_equal(found["put_together"], np.arange(10, dtype=np.float16)[:, None])
    np.testing.assert_array_equal(found["in_order"], [0, 10, 10, 20, 20, 20])
    np.testing.assert_array_equal(found["largest"], [2.0, 0.0])
    np.testing.assert_array_equal(found["drifted"], np.zeros((2, 2)))
    assert found["decided"].item() == "rank 0"
    np.testing.assert_array_equal(found["from_leader"], np.arange(6).reshape(2, 3))
    assert found["empty"].shape == (0, 4)


def test_gradients_are_summed_where_some_rank_has_one(told: list[dict[str, np.ndarray]]) -> None:
    """Ranks 0 and 2 used the first weight, none the second; the third is frozen; buckets are smaller than a weight."""
    found = told[0]
    np.testing.assert_array_equal(found["used"], np.full(5, 4.0))
    assert found["unused"].item() is True
    np.testing.assert_array_equal(found["second"], np.full((2, 2), 6.0))


def test_one_process_has_all_and_tells_nobody() -> None:
    assert not group.is_divided()
    assert (group.rank(), group.num_ranks(), group.leads()) == (0, 1, True)
    assert list(group.share(3)) == [0, 1, 2]
    assert group.consecutive_share(7) == slice(0, 7)
    values = np.arange(3.0)
    assert group.put_together(values) is values
    assert group.in_order(values) is values
    assert group.largest(1, 0) == (1, 0)
    assert group.decided(lambda: {"any": Path}) == {"any": Path}  # no JSON needed
    assert group.from_leader([values])[0] is values
    weight = torch.nn.Parameter(torch.ones(2))
    group.add_up_gradients([weight])
    assert weight.grad is None
