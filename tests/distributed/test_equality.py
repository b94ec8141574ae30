"""Training over two and three processes: the losses, hard negatives, weights and metrics of one process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.distributed import cases
from tests.distributed.cases import CASES

from vixml.distributed.launch import Machines, launch


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, np.ndarray]]:
    """The results of one process, of each case once."""
    folder, threads = tmp_path_factory.mktemp("alone"), torch.get_num_threads()

    @cache
    def run(name: str) -> dict[str, np.ndarray]:
        torch.set_num_threads(1)
        try:
            return cases.run(name, folder / name)
        finally:
            torch.set_num_threads(threads)

    return run


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all cases, trained by several ranks."""
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    launch("tests.distributed.cases", [str(folder)], folder=folder, machines=Machines(request.param))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_several_processes_train_as_one(
    name: str, alone: Callable[[str], dict[str, np.ndarray]], together: Path
) -> None:
    """Every loss, the clusters, what was mined, the last weights, the metrics."""
    expected = alone(name)
    with np.load(together / f"{name}.npz") as saved:
        found = dict(saved)
    assert expected.keys() == found.keys()
    assert len(expected["losses"]) >= 12
    for key in ("clusters", "mined", "monitored"):
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
    for key in expected:
        # the bank is in half precision, where the last bit of a number may go either way; centroids are its means
        tolerance = 1e-3 if key in ("bank", "weight label_side.centroids") else 1e-5
        np.testing.assert_allclose(found[key], expected[key], atol=tolerance, rtol=1e-5, err_msg=key)
