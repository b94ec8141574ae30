"""The regulariser of prototypes against golden values of an independent implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.losses.regulariser import prototype_regulariser


def test_regulariser_value_and_gradients(golden_dir: Path) -> None:
    """Regulariser and both gradients equal the golden ones."""
    golden = np.load(golden_dir / "regulariser.npz", allow_pickle=False)
    text = torch.tensor(golden["sim_text"], requires_grad=True)
    prototype = torch.tensor(golden["sim_prototype"], requires_grad=True)
    loss = prototype_regulariser(
        text,
        prototype,
        torch.tensor(golden["target"]) > 0,
        margin=float(golden["margin"]),
        num_negatives=int(golden["k"]),
    )
    loss.backward()
    assert loss.item() == pytest.approx(float(golden["loss"]), rel=1e-5)
    np.testing.assert_allclose(text.grad, golden["grad_text"], atol=1e-7)
    np.testing.assert_allclose(prototype.grad, golden["grad_prototype"], atol=1e-7)
