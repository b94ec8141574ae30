"""What a training begins with: free vectors shared evenly, centroids of the untrained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.stage_runs import make_inputs, train

from vixml.core.directories import WorkDirectory
from vixml.training import stages
from vixml.training.encode import embed_all
from vixml.training.state import TrainingState
from vixml.training.step.training_step import TrainingStep


def test_every_free_vector_is_shared_evenly(tmp_path: Path) -> None:
    """Twenty labels on seven vectors: all are used, by two or three labels each."""
    model, _ = train(make_inputs(tmp_path), tmp_path / "run")
    from safetensors.numpy import load_file

    uses = np.bincount(load_file(model.path / "model.safetensors")["label_side.free.of_label"], minlength=7)
    assert sorted(set(uses.tolist())) == [2, 3]


def test_centroids_are_there_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of what the untrained network makes of a label's queries, not zeros for an epoch."""
    inputs, before = make_inputs(tmp_path), []
    learn = TrainingStep.learn

    def recorded(self: TrainingStep, state: TrainingState, rows: np.ndarray) -> dict[str, object]:
        if state.step == 0:
            queries = embed_all(state.model, inputs.source("train"), precision="fp32", desc="queries")
            before.append((queries, state.model.label_side.centroids.numpy().copy()))
        return learn(self, state, rows)

    monkeypatch.setattr(TrainingStep, "learn", recorded)
    stages.train_warmup(inputs, WorkDirectory(tmp_path / "work"))
    queries, centroids = before[0]
    relevance = inputs.relevance_train.toarray()
    expected = relevance.T @ queries / np.maximum(relevance.sum(axis=0), 1)[:, None]
    np.testing.assert_allclose(centroids, expected, atol=5e-4)  # half precision
