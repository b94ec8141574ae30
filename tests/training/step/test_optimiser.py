"""The optimiser's groups and the schedule of the learning rate."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from vixml.training.step.optimiser import learning_rate_factor, make_optimiser


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
