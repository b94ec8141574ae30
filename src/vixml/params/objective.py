"""Settings of the training objective."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vixml.params.base import Params


class ObjectiveParams(Params):
    """PRIME: triplet losses on label texts and prototypes, and a regulariser between both."""

    name: Literal["prime"] = "prime"
    """Which objective."""
    num_negatives: int = Field(10, ge=1)
    """Hardest in-pool negatives per row."""
    margin_min: float = Field(0.1, ge=0)
    """Lower bound of the dynamic margin (cosine units)."""
    margin_max: float = Field(0.3, ge=0)
    """Upper bound of the dynamic margin; equal to `margin_min` for a fixed one."""
    temperature: float | None = Field(0.1, gt=0)
    """Softmax temperature of the weights over violating negatives; `null` weighs all by 1."""
    regulariser_weight: float = Field(0.1, ge=0)
    """Weight of the regulariser in the sum."""
    regulariser_margin: float = Field(0.1, ge=0)
    """By how much prototypes should beat label texts (cosine units)."""

    @model_validator(mode="after")
    def _margins_ordered(self) -> ObjectiveParams:
        if self.margin_min > self.margin_max:
            raise ValueError(f"margin_min {self.margin_min} is above margin_max {self.margin_max}")
        return self
