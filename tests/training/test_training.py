"""Optimiser groups, schedule, curve, and a kill-and-resume of the loop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from vixml.core.directories import publish
from vixml.core.errors import StateError
from vixml.core.seeding import derive_seed
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.evaluation.propensity import inverse_propensity
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.prototype import PrototypeCombiner
from vixml.params.variant import VariantParams
from vixml.training.checkpoint import newest_checkpoint, read_state, save_checkpoint, write_state
from vixml.training.curve import Curve
from vixml.training.inputs import ItemSource
from vixml.training.loop import Trainer, TrainingInputs
from vixml.training.optimiser import learning_rate_factor, make_optimiser

PARAMS = VariantParams(
    batching={"batch_size": 16, "start_epoch": 2, "update_every": 1, "cluster_size": 4, "double_at": [3]},
    optim={"lr": 1e-3, "lr_other": 1e-3, "warmup_steps": 2, "precision": "fp32"},
    training={"epochs": 4, "checkpoint_every": 0, "device": "cpu"},
    model={"use_images": True},
)


def _source(count: int, rng: np.random.Generator, vectors: np.ndarray) -> ItemSource:
    lengths, images = rng.integers(2, 8, count), rng.integers(0, 3, count)
    tokens = RaggedArray(rng.integers(4, 60, lengths.sum()), offsets_of(lengths))
    return ItemSource(tokens, RaggedArray(rng.integers(0, len(vectors), images.sum()), offsets_of(images)), vectors)


def _model(num_labels: int) -> DualModel:
    from transformers import AutoModel, BertConfig

    torch.manual_seed(derive_seed(0, "test"))
    config = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    embedder = Embedder(AutoModel.from_config(config), image_dim=6)
    combiner = PrototypeCombiner(16, num_heads=2, feedforward=16)
    return DualModel(embedder, combiner, num_labels=num_labels, num_free=num_labels)


def _trainer(work: Path, *, fingerprint: str = "same") -> Trainer:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20, 6)).astype(np.float16)
    relevance = sp.csr_matrix(sp.random(50, 20, density=0.2, format="csr", random_state=1, dtype=np.float32))
    relevance.data[:] = 1
    relevance.sort_indices()
    weights = inverse_propensity(np.diff(relevance.tocsc().indptr), 50, 0.55, 1.5)
    inputs = TrainingInputs(_source(50, rng, vectors), _source(20, rng, vectors), relevance, weights)
    return Trainer(_model(20), inputs, PARAMS, seed=7, work=work, fingerprint=fingerprint)


def _weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("stop", [1, 3])
def test_resume_gives_the_uninterrupted_numbers(tmp_path: Path, stop: int) -> None:
    """Stopped in either stage and continued in a new process' state: identical weights, moments and curve."""
    whole = _trainer(tmp_path / "whole")
    whole.fit(4, desc="whole")
    first = _trainer(tmp_path / "parts")
    first.fit(stop, desc="first")
    save_checkpoint(first, tmp_path / "parts" / "checkpoints")
    first.fit(stop + 1, desc="lost")  # work behind the checkpoint is lost and done again
    second = _trainer(tmp_path / "parts")
    checkpoint = newest_checkpoint(tmp_path / "parts" / "checkpoints", "same")
    assert checkpoint is not None
    read_state(second, checkpoint)
    second.curve.rewind(second.step)
    second.fit(4, desc="second")
    for name, value in _weights(whole).items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    moments, again = (trainer.optimiser.state_dict()["state"] for trainer in (whole, second))
    assert moments.keys() == again.keys()
    assert all(torch.equal(state[name], again[i][name]) for i, state in moments.items() for name in state)
    assert torch.equal(whole.bank, second.bank)
    losses = [[(r["step"], r["loss"]) for r in t.curve.records() if "loss" in r] for t in (whole, second)]
    assert losses[0] == losses[1]


def test_same_seed_same_batches_and_other_epochs_other_batches(tmp_path: Path) -> None:
    """Batches are a pure function of seed and epoch."""
    first, second = _trainer(tmp_path / "a"), _trainer(tmp_path / "b")
    one, two = first.batches(), second.batches()
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    first.epoch = 1
    assert not np.array_equal(np.concatenate(one), np.concatenate(first.batches()))


def test_training_lowers_the_loss_and_fills_the_bank(tmp_path: Path) -> None:
    """Four epochs lower the loss; every query with labels has a unit vector in the bank; centroids follow."""
    trainer = _trainer(tmp_path)
    trainer.fit(4, desc="train")
    losses = [record["loss"] for record in trainer.curve.records()]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(trainer.bank[trainer.rows].float().norm(dim=1), 1.0, atol=2e-3)
    seen = np.flatnonzero(np.diff(trainer.inputs.relevance.tocsc().indptr))
    assert trainer.model.centroids[seen].norm(dim=1).min() > 0


def test_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    """A checkpoint of another fingerprint is neither found nor read."""
    trainer = _trainer(tmp_path / "a", fingerprint="one")
    folder = tmp_path / "state"
    folder.mkdir()
    sealed = publish(write_state(trainer, folder), tmp_path / "checkpoints" / "epoch-00000")
    assert newest_checkpoint(tmp_path / "checkpoints", "two") is None
    with pytest.raises(StateError, match="other data or settings"):
        read_state(_trainer(tmp_path / "b", fingerprint="two"), sealed.path)


def test_optimiser_groups() -> None:
    """Biases, norms and free vectors have no decay; only backbone weights have the backbone's rate."""
    model = _model(20)
    optimiser = make_optimiser(model, PARAMS.optim.model_copy(update={"lr": 1.0, "lr_other": 2.0}))
    facts = {id(w): group for group in optimiser.param_groups for w in group["params"]}
    assert len(facts) == sum(1 for _ in model.parameters())
    for name, weight in model.named_parameters():
        group = facts[id(weight)]
        assert group["peak_lr"] == (1.0 if name.startswith("embedder.backbone") else 2.0), name
        plain = name.endswith("bias") or "LayerNorm" in name or ".norm" in name or name.startswith("free_vectors")
        assert (group["weight_decay"] == 0) == plain, name


def test_learning_rate_schedule() -> None:
    """Linear up over the warm-up, linear down to zero at the last step, warm-up at most a tenth."""
    factors = [learning_rate_factor(step, total_steps=1000, warmup_steps=100) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == factors[100] == 1.0
    assert factors[1000] == 0.0
    assert all(later <= earlier for earlier, later in pairwise(factors[100:]))
    assert learning_rate_factor(9, total_steps=100, warmup_steps=1000) == 1.0


def test_curve_survives_a_torn_line(tmp_path: Path) -> None:
    """A half-written last line is ignored and dropped by the next rewind."""
    curve = Curve(tmp_path / "curve.jsonl")
    curve.log(step=1, epoch=1, loss=0.5)
    curve.log(step=2, epoch=2, loss=0.4)
    with curve.file.open("a") as stream:
        stream.write('{"step": 3, "epo')
    assert [record["step"] for record in curve.records()] == [1, 2]
    curve.rewind(1)
    assert curve.file.read_text() == '{"step": 1, "epoch": 1, "loss": 0.5}\n'
