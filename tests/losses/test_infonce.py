"""InfoNCE draws one positive per query; value and gradients are in `test_objective`."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from vixml.losses.objective import LOSSES
from vixml.params.objective import ObjectiveParams


def _pool(seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Unscaled queries [9, 8], label texts and prototypes [14, 8]; rows with one, several, all and no positive."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (9, 14, 14)]
    target = torch.rand(9, 14, generator=generator) < 0.25
    target[1], target[2] = False, True
    target[3] = torch.arange(14) == 5
    return inputs, target


def test_infonce_draws_its_positive() -> None:
    """Over many draws its mean is the decoupled softmax's."""
    inputs, target = _pool(4)
    query, text, _ = (normalize(value, dim=-1) for value in inputs)
    params = ObjectiveParams(softmax_temperature=0.3)
    generator = torch.Generator().manual_seed(0)
    values = [LOSSES["infonce"](query, text, text, target, params, generator=generator)[0] for _ in range(2000)]
    mean = LOSSES["decoupled_softmax"](query, text, text, target, params)[0]
    assert torch.stack(values).mean().item() == pytest.approx(mean.item(), rel=0.01)
