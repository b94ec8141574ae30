"""The stages on disk: killed anywhere and run again by the same commands, they end at the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from tests.training.stage_runs import Killed, changed, make_inputs, train, without_speed

from vixml.classifier.label_vectors import fit_label_vectors
from vixml.core.directories import SealedDirectory, WorkDirectory, open_sealed
from vixml.core.errors import ConfigError, StateError
from vixml.models.build import open_model
from vixml.negatives.table import MinedTable
from vixml.params.model import LabelVectorParams
from vixml.training import encode, stages
from vixml.training.loop import Trainer
from vixml.training.state import TrainingState
from vixml.training.step.training_step import TrainingStep
from vixml.training.variant_data import VariantData


@pytest.mark.parametrize("steps", [5, 11])  # four steps an epoch: in the warm-up, and in the hard stage
def test_killed_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The same weights' hash and the same curve as a run that was left alone; nothing done is done again."""
    inputs = make_inputs(tmp_path)
    model, curve = train(inputs, tmp_path / "whole")
    taken = 0
    learn = TrainingStep.learn

    def counted(self: TrainingStep, state: TrainingState, rows: np.ndarray) -> dict[str, object]:
        nonlocal taken
        if taken == steps:
            raise Killed
        taken += 1
        return learn(self, state, rows)

    monkeypatch.setattr(TrainingStep, "learn", counted)
    with pytest.raises(Killed):
        train(inputs, tmp_path / "killed")
    monkeypatch.setattr(TrainingStep, "learn", learn)
    started_at: list[int] = []
    fit = Trainer.fit
    monkeypatch.setattr(
        Trainer, "fit", lambda self, until, desc: (started_at.append(self.state.step), fit(self, until, desc=desc))[1]
    )
    again, curve_again = train(inputs, tmp_path / "killed")
    assert max(started_at) == steps // 4 * 4 if steps > 8 else started_at[0] == steps // 4 * 4
    assert again.files["model.safetensors"] == model.files["model.safetensors"]
    assert without_speed(curve_again) == without_speed(curve)
    stages.clear_checkpoints(WorkDirectory(tmp_path / "killed" / "work"))
    kept = {path.name for path in (tmp_path / "killed" / "work").iterdir()}
    assert kept == {"curve.jsonl", "refreshes.jsonl"}


@pytest.mark.parametrize("epochs", [4, 0])
def test_prototypes_are_fitted_to_the_embeddings_of_the_end(tmp_path: Path, epochs: int) -> None:
    """Those of the trained network, or of the one that nobody trained; all else stays as without."""
    settings = {"batching": {"start_epoch": 2 if epochs else 0}, "training": {"epochs": epochs}}
    plain = changed(make_inputs(tmp_path), **settings)
    fit = {"prototype": {**plain.params.model.prototype.model_dump(), "fit": {"epochs": 3}}}
    inputs = changed(plain, model=fit)
    (whole, _), (without, _) = train(inputs, tmp_path / "fitted"), train(plain, tmp_path / "plain")
    found, before = (load_file(str(built.path / "model.safetensors")) for built in (whole, without))
    offsets = found.pop("label_side.offsets").float()
    assert found.keys() == before.keys()
    assert all((found[name] == before[name]).all() for name in found)
    sides = [encode_sides(inputs if built is whole else plain, built) for built in (whole, without)]
    (queries, fitted), (same, start) = sides
    np.testing.assert_array_equal(queries, same)
    expected = fit_label_vectors(
        queries, plain.training_data().relevance, start, LabelVectorParams(epochs=3), seed=plain.seed
    )
    np.testing.assert_allclose(fitted, expected, atol=5e-3)  # half precision
    assert np.abs(offsets.numpy()).max() > 0.02


def encode_sides(inputs: VariantData, model: SealedDirectory) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of the training queries and the prototypes of a trained model."""
    data, network = inputs.training_data(), open_model(model.path)[0]
    queries = encode.embed_all(network, data.queries, precision="fp32", desc="queries")
    return queries, encode.embed_labels(network, data.labels, precision="fp32", desc="labels")[1]


def test_mined_labels_and_what_was_left_out_reach_the_hard_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the refresh published them; what does not have them is refused with the way on."""
    inputs = changed(
        make_inputs(tmp_path), batching={"mined_per_query": 1, "mined_labels": 4, "duplicate_similarity": 0.5}
    )
    seen: list[MinedTable | None] = []
    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self, *a, **k: (seen.append(self.state.mined), fit(self, *a, **k))[1])
    train(inputs, tmp_path / "run")
    table, folder = seen[-1], tmp_path / "run" / "hard_negatives"
    assert table is not None
    assert len(table.duplicates) == len(table.labels) == 50
    assert len(table.duplicates.values) > 0
    np.testing.assert_array_equal(table.duplicates.values, np.load(folder / "near_duplicates.npy"))
    np.testing.assert_array_equal(table.labels, np.load(folder / "mined_labels.npy"))

    monkeypatch.setattr("vixml.training.state._MONITORED", 10)
    without = changed(inputs, batching={"mined_per_query": 0})
    train(without, tmp_path / "without")
    warmup, refreshed = (open_sealed(tmp_path / "without" / name) for name in ("warmup", "hard_negatives"))
    assert not (refreshed.path / "mined_labels.npy").exists(), "nobody draws from them"
    assert np.load(refreshed.path / "monitored_labels.npy").shape == (10, 4)
    assert refreshed.meta["queries"] == 10, "mined for the report alone"
    with pytest.raises(StateError, match=r"lack the record of near-duplicates.*hard_negative_refresh"):
        stages.train_hard(inputs, warmup, refreshed, WorkDirectory(tmp_path / "again"))


def test_a_network_may_stay_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No epoch, no step: the network as it was loaded, exact centroids, and one pass over the training queries."""
    inputs = changed(make_inputs(tmp_path), training={"epochs": 0}, batching={"start_epoch": 0})
    passes: list[str] = []
    encoding = encode._encoding
    monkeypatch.setattr(encode, "_encoding", lambda desc, count: (passes.append(desc), encoding(desc, count))[1])
    model, curve = train(inputs, tmp_path / "run")
    assert [name for name in passes if "label" not in name and "free" not in name] == ["refresh queries"]
    assert (model.meta["epochs"], model.meta["steps"], curve) == (0, 0, [])
    fresh = inputs.new_model().state_dict()
    kept = load_file(str(tmp_path / "run" / "model" / "model.safetensors"))
    backbone = [name for name in kept if "backbone" in name]
    assert backbone
    for name in backbone:
        np.testing.assert_array_equal(kept[name], fresh[name])
    queries = np.load(tmp_path / "run" / "hard_negatives" / "queries.npy")
    relevance = inputs.relevance_train.toarray()
    expected = relevance.T @ queries / np.maximum(relevance.sum(axis=0), 1)[:, None]
    np.testing.assert_allclose(kept["label_side.centroids"].float().numpy(), expected, atol=5e-4)  # half precision


def test_shorter_widths_are_trained_along(tmp_path: Path) -> None:
    """The curve has a loss of each; one that the embeddings do not have is refused before training."""
    inputs = changed(make_inputs(tmp_path), model={"matryoshka": (4, 8)})
    _, curve = train(inputs, tmp_path)
    assert {"loss_dim_4", "loss_dim_8"} <= {name for record in curve for name in record}
    too_wide = changed(inputs, model={"matryoshka": (16,)})
    with pytest.raises(ConfigError, match="more than the embeddings have"):
        too_wide.new_model()
