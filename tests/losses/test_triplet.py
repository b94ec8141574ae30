"""The triplet loss against golden values of an independent implementation, and how it draws its positives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.losses.triplet import pick_positives, triplet_loss


@pytest.mark.parametrize("case", ["prime", "fixed_margin", "few_negatives", "all_negatives"])
def test_triplet_value_and_gradient(golden_dir: Path, case: str) -> None:
    """Loss and gradient equal the golden ones."""
    golden = np.load(golden_dir / "triplet_loss.npz", allow_pickle=False)
    scores = torch.tensor(golden[f"{case}_sim"], requires_grad=True)
    loss = triplet_loss(
        scores,
        torch.tensor(golden[f"{case}_target"]) > 0,
        num_negatives=int(golden[f"{case}_k"]),
        margin_min=float(golden[f"{case}_margin_min"]),
        margin_max=float(golden[f"{case}_margin_max"]),
        temperature=0.1 if bool(golden[f"{case}_softmax"]) else None,
        reduction="sum_rows" if str(golden[f"{case}_reduction"]) == "custom" else "mean",
    )
    loss.backward()
    assert loss.item() == pytest.approx(float(golden[f"{case}_loss"]), rel=1e-5)
    np.testing.assert_allclose(scores.grad, golden[f"{case}_grad"], atol=1e-7)


def test_further_positives_are_never_negatives(golden_dir: Path) -> None:
    """The golden case with two positives in a row; whichever is drawn, the other one is no negative."""
    golden = np.load(golden_dir / "triplet_loss.npz", allow_pickle=False)
    scores, target = torch.tensor(golden["multi_positive_sim"]), torch.tensor(golden["multi_positive_target"]) > 0
    assert triplet_loss(scores, target).item() == pytest.approx(float(golden["multi_positive_loss"]), rel=1e-5)


def test_positives_are_drawn_uniformly() -> None:
    """Each positive of a row comes up equally often, and never a negative."""
    target = torch.tensor([[True, False, True, True]]).expand(6000, 4)
    drawn = pick_positives(target, torch.Generator().manual_seed(0)).bincount(minlength=4)
    assert drawn[1] == 0
    assert all(abs(int(count) - 2000) < 150 for count in drawn[[0, 2, 3]])


def test_rows_without_positive_add_nothing() -> None:
    """A row of negatives only has neither loss nor gradient."""
    scores = torch.rand(3, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    target = torch.zeros(3, 5, dtype=torch.bool)
    target[0, 1] = True
    triplet_loss(scores, target).backward()
    assert scores.grad is not None
    assert scores.grad[1:].abs().sum() == 0
    assert scores.grad[0].abs().sum() > 0
