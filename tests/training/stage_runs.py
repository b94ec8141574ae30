"""The stages on disk, run as the pipeline runs them: 50 queries, 20 labels, a network of seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from vixml.core.directories import SealedDirectory, WorkDirectory, publish
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.training import stages
from vixml.training.state import TrainingState
from vixml.training.step.training_step import TrainingStep
from vixml.training.variant_data import VariantData

PARAMS = VariantParams(
    backbone={"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 200}},
    model={"use_images": False, "prototype": {"num_heads": 2, "feedforward": 16, "free_vectors": 7}},
    batching={"batch_size": 16, "start_epoch": 2, "update_every": 1, "cluster_size": 4, "double_at": [3]},
    training={"epochs": 4, "checkpoint_every": 1, "device": "cpu"},
    optim={"precision": "fp32"},
)


class Killed(Exception):
    """Stands for the end of the process."""


def items(count: int, side: str) -> pd.DataFrame:
    words = ["red", "blue", "vase", "lamp", "chair", "oak", "glass"]
    rng = np.random.default_rng(len(side))
    return pd.DataFrame(
        {
            "uid": [f"{side}{i}" for i in range(count)],
            "text": [" ".join(rng.choice(words, 3)) for _ in range(count)],
            "images": [[] for _ in range(count)],
        }
    )


def make_inputs(folder: Path) -> VariantData:
    sizes = {"train": 50, "validation": 6, "test": 9, "label": 20}
    tables = {side: items(size, side) for side, size in sizes.items()}
    work = WorkDirectory(folder / "tokens_work")
    tokens = publish(stages.tokenise_sides(tables, PARAMS.backbone, work), folder / "tokens")
    relevance = sp.csr_matrix(sp.random(50, 20, density=0.2, format="csr", random_state=1, dtype=np.float32))
    relevance.data[:] = 1
    relevance.sort_indices()
    held_out = sp.csr_matrix(relevance[:6])
    return VariantData(
        PARAMS, EvaluationParams(), 3, tokens, None, relevance, held_out, sp.csr_matrix((6, 20), dtype=np.float32)
    )


def changed(inputs: VariantData, **groups: dict[str, object]) -> VariantData:
    """The same data with other settings."""
    settings = inputs.params.model_dump()
    merged = {name: {**settings[name], **changes} for name, changes in groups.items()}
    return dataclasses.replace(inputs, params=VariantParams(**{**settings, **merged}))


def train(inputs: VariantData, folder: Path, *, resume: str = "auto") -> tuple[SealedDirectory, list[dict[str, float]]]:
    """Run the three training stages as the pipeline does."""
    work = WorkDirectory(folder / "work")
    warmup = publish(stages.train_warmup(inputs, work, resume=resume), folder / "warmup")
    built, _ = stages.refresh_hard_negatives(inputs, warmup, WorkDirectory(folder / "refresh_work"))
    hard_negatives = publish(built, folder / "hard_negatives")
    built, curve, refreshes = stages.train_hard(inputs, warmup, hard_negatives, work, resume=resume)
    start, epochs = inputs.params.batching.start_epoch, inputs.params.training.epochs
    assert [record["epoch"] for record in refreshes] == [start, *range(start + 1, epochs)]  # the exact one first
    assert all({"violation_rate", "cluster_purity", "seconds"} < record.keys() for record in refreshes)
    return publish(built, folder / "model"), curve


def without_speed(curve: list[dict[str, float]]) -> list[tuple[tuple[str, float], ...]]:
    """Every record but its speed."""
    return [tuple((k, v) for k, v in record.items() if k != "queries_per_second") for record in curve]


def stop_at(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let every trainer end before its step `steps`."""
    learn = TrainingStep.learn

    def limited(self: TrainingStep, state: TrainingState, rows: np.ndarray) -> dict[str, object]:
        if state.step == steps:
            raise Killed
        return learn(self, state, rows)

    monkeypatch.setattr(TrainingStep, "learn", limited)
