"""A stage in several processes: the result of one, the same files, and a resume with any number of them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.training.ranks.inputs import assert_same, dataset_inputs, weights
from tests.training.stage_runs import changed

from vixml.core.directories import SealedDirectory, WorkDirectory, open_sealed, publish
from vixml.core.errors import ConfigError
from vixml.training.ranks.job import run_stage
from vixml.training.variant_data import VariantData


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> VariantData:
    """The inputs of the tests of stages, with their data set on disk."""
    return dataset_inputs(tmp_path_factory.mktemp("data"))


def in_ranks(data: VariantData, processes: int) -> VariantData:
    return changed(data, training={"processes": processes, "keep_checkpoints": 9})


def trained(data: VariantData, folder: Path, ranks: tuple[int, int, int]) -> SealedDirectory:
    """All three stages, each in its own number of processes."""
    work = WorkDirectory(folder / "work")
    warmup = publish(run_stage("train_warmup", in_ranks(data, ranks[0]), work=work, resume="auto"), folder / "warmup")
    built, _ = run_stage(
        "refresh_hard_negatives", in_ranks(data, ranks[1]), warmup, work=WorkDirectory(folder / "other")
    )
    hard = publish(built, folder / "hard")
    built, curve, refreshes = run_stage("train_hard", in_ranks(data, ranks[2]), warmup, hard, work=work, resume="auto")
    assert [record["epoch"] for record in curve if "loss" in record] == [1, 2, 3, 4]
    assert len(refreshes) == 2
    return publish(built, folder / "model")


@pytest.fixture(scope="module")
def alone(data: VariantData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The weights that one process ends with."""
    return weights(trained(data, tmp_path_factory.mktemp("alone"), (1, 1, 1)))


def test_stages_in_two_one_and_three_processes(data: VariantData, alone: dict[str, np.ndarray], tmp_path: Path) -> None:
    """And a hard stage that was killed after its first epoch goes on in another number of them."""
    assert_same(weights(trained(data, tmp_path, (2, 1, 3))), alone)
    hard = tmp_path / "work" / "checkpoints" / "train_hard"
    steps = sorted(hard.glob("step-*"))
    assert len(steps) == 1  # after epoch 3; after the last one comes the model
    shutil.rmtree(tmp_path / "model")
    work = WorkDirectory(tmp_path / "work")
    warmup, refreshed = (open_sealed(tmp_path / name) for name in ("warmup", "hard"))
    built, _, _ = run_stage("train_hard", in_ranks(data, 2), warmup, refreshed, work=work, resume="auto")
    assert_same(weights(publish(built, tmp_path / "again")), alone)


def test_several_processes_read_the_data_set_themselves(data: VariantData, tmp_path: Path) -> None:
    bare = dataclasses.replace(in_ranks(data, 2), dataset=None)
    with pytest.raises(ConfigError, match=r"read the data set from its folder.*VariantData\.of"):
        run_stage("train_warmup", bare, work=WorkDirectory(tmp_path))
