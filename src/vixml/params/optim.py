"""Settings of the optimiser."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vixml.params.base import Params


class OptimParams(Params):
    """AdamW with a linear warm-up and a linear decay to zero over all epochs of both stages."""

    lr: float = Field(2e-4, gt=0)
    """Peak learning rate of the backbone."""
    lr_other: float = Field(5e-4, gt=0)
    """Peak learning rate of projection, combiner and free vectors."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay; biases, norm weights and free vectors have none."""
    eps: float = Field(1e-6, gt=0)
    """AdamW's epsilon."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warm-up; at most a tenth of all steps."""
    clip_norm: float | None = Field(None, gt=0)
    """Gradient-norm clipping; `null` for none (decoders: 1.0)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the network's matrix products; `auto` is bf16 where the hardware has it, else fp32."""
