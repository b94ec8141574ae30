"""The loop, optimiser groups, schedule and curve."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vixml.params.variant import VariantParams
from vixml.training.curve import Curve
from vixml.training.optimiser import learning_rate_factor, make_optimiser


def test_same_seed_same_batches_and_other_epochs_other_batches(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Batches are a pure function of seed and epoch."""
    first, second = tiny.trainer(tmp_path / "a"), tiny.trainer(tmp_path / "b")
    one, two = first.batches(), second.batches()
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    first.epoch = 1
    assert not np.array_equal(np.concatenate(one), np.concatenate(first.batches()))


def test_training_lowers_the_loss_and_fills_the_bank(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Four epochs lower the loss; every query with labels has a unit vector in the bank; centroids follow."""
    trainer = tiny.trainer(tmp_path)
    trainer.fit(4, desc="train")
    losses = [record["loss"] for record in trainer.curve.records() if "loss" in record]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(trainer.bank[trainer.rows].float().norm(dim=1), 1.0, atol=2e-3)
    seen = np.flatnonzero(np.diff(trainer.inputs.relevance.tocsc().indptr))
    assert trainer.model.label_side.centroids[seen].norm(dim=1).min() > 0


def test_optimiser_groups(tiny: SimpleNamespace) -> None:
    """Biases, norms and free vectors have no decay; only backbone weights have the backbone's rate."""
    model = tiny.model(20)
    optimiser = make_optimiser(model, tiny.params.optim.model_copy(update={"lr": 1.0, "lr_other": 2.0}))
    facts = {id(w): group for group in optimiser.param_groups for w in group["params"]}
    assert len(facts) == sum(1 for _ in model.parameters())
    for name, weight in model.named_parameters():
        group = facts[id(weight)]
        assert group["peak_lr"] == (1.0 if name.startswith("embedder.backbone") else 2.0), name
        plain = name.endswith("bias") or "LayerNorm" in name or ".norm" in name or name.startswith("label_side.free")
        assert (group["weight_decay"] == 0) == plain, name


def test_learning_rate_schedule() -> None:
    """Linear up over the warm-up, linear down to zero at the last step, warm-up at most a tenth."""
    factors = [learning_rate_factor(step, total_steps=1000, warmup_steps=100) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == factors[100] == 1.0
    assert factors[1000] == 0.0
    assert all(later <= earlier for earlier, later in pairwise(factors[100:]))
    assert learning_rate_factor(9, total_steps=100, warmup_steps=1000) == 1.0


def test_the_curve_has_records_within_an_epoch(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Their mean over an epoch is the epoch's loss; `log_every` sets how many there are."""
    for every, steps in ((0, [1, 2, 3, 4, 5, 6, 7, 8]), (2, [2, 4, 6, 8])):
        training = {**tiny.params.training.model_dump(), "log_every": every}
        params = VariantParams(**{**tiny.params.model_dump(), "training": training})
        trainer = tiny.trainer(tmp_path / str(every), params=params)
        trainer.fit(2, desc="train")
        records = trainer.curve.records()
        inner = [record for record in records if "batch/loss" in record]
        assert [record["step"] for record in inner] == steps
        for epoch, record in enumerate((r for r in records if "loss" in r), start=1):
            mean = np.mean([r["batch/loss"] for r in inner if r["epoch"] == epoch])
            assert record["loss"] == pytest.approx(mean, abs=2e-6)


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
