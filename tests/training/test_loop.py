"""The loop: batches by seed and epoch, a loss that falls, a bank that fills."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from vixml.params.variant import VariantParams


def test_same_seed_same_batches_and_other_epochs_other_batches(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Batches are a pure function of seed and epoch."""
    first, second = tiny.trainer(tmp_path / "a"), tiny.trainer(tmp_path / "b")
    one, two = first.batches(), second.batches()
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    first.state.epoch = 1
    assert not np.array_equal(np.concatenate(one), np.concatenate(first.batches()))


def test_training_lowers_the_loss_and_fills_the_bank(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Four epochs lower the loss; every query with labels has a unit vector in the bank; centroids follow."""
    trainer = tiny.trainer(tmp_path)
    trainer.fit(4, desc="train")
    losses = [record["loss"] for record in trainer.curve.records() if "loss" in record]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(trainer.state.bank[trainer.state.rows].float().norm(dim=1), 1.0, atol=2e-3)
    seen = np.flatnonzero(np.diff(trainer.data.relevance.tocsc().indptr))
    assert trainer.state.model.label_side.centroids[seen].norm(dim=1).min() > 0


def test_epochs_of_a_trial_are_cut_short(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """As many steps as asked for, of the same batches; the learning rate ends with them."""
    values = tiny.params.model_dump()
    params = VariantParams(**{**values, "training": {**values["training"], "max_epoch_steps": 2}})
    whole, cut = tiny.trainer(tmp_path / "whole"), tiny.trainer(tmp_path / "cut", params=params)
    assert whole.state.steps_per_epoch > 2
    for ours, all_of_them in zip(cut.batches(), whole.batches()[:2], strict=True):
        np.testing.assert_array_equal(ours, all_of_them)
    cut.fit(1, desc="stage")
    assert (cut.state.epoch, cut.state.step) == (1, 2)
    assert cut.step._total_steps == 2 * params.training.epochs
