"""AdamW groups and the learning-rate schedule."""

from __future__ import annotations

import torch
from torch import nn

from vixml.models.dual import DualModel
from vixml.params.training import OptimParams


def make_optimiser(model: DualModel, params: OptimParams) -> torch.optim.AdamW:
    """Return AdamW with the backbone and the rest at their own rates.

    Biases, norm weights and free vectors have no weight decay. Every group remembers its peak rate in `peak_lr`.
    """
    backbone = {id(weight) for weight in model.embedder.backbone.parameters()}
    free = None if model.label_side.free is None else id(model.label_side.free.table.weight)
    norms = {id(w) for m in model.modules() if "norm" in type(m).__name__.lower() for w in m.parameters(recurse=False)}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for weight in model.parameters():
        if weight.requires_grad:
            plain = weight.ndim < 2 or id(weight) in norms or id(weight) == free
            groups.setdefault((id(weight) in backbone, plain), []).append(weight)
    return torch.optim.AdamW(
        [
            {
                "params": weights,
                "lr": 0.0,
                "peak_lr": params.lr if in_backbone else params.lr_other,
                "weight_decay": 0.0 if plain else params.weight_decay,
            }
            for (in_backbone, plain), weights in groups.items()
        ],
        eps=params.eps,
        fused=True,
    )


def learning_rate_factor(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak rate at `step` (0-based): linear warm-up, then linear decay to zero.

    Args:
        step: Steps done so far.
        total_steps: Steps of both stages together.
        warmup_steps: Steps of warm-up, at most a tenth of `total_steps`.
    """
    warmup = min(warmup_steps, total_steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup))


def set_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group to `factor` times its peak rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
