"""Parameters of evaluation and of the baselines that stand beside it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from vixml.params.base import Params


class EvaluationParams(Params):
    """Metric depths and the propensity model."""

    ks: tuple[int, ...] = (1, 3, 5, 10, 100)
    """Depths k of P@k, PSP@k, nDCG@k, ...; each at least 1 and at most `top_k`."""
    top_k: int = Field(100, ge=1)
    """Predictions kept for each query."""
    propensity_a: float = Field(0.55, gt=0)
    """Exponent A of the propensity model: 0.6 Amazon, 0.5 Wikipedia, 0.55 otherwise."""
    propensity_b: float = Field(1.5, gt=0)
    """Offset B of the propensity model: 2.6 Amazon, 0.4 Wikipedia, 1.5 otherwise."""

    query_images: bool = True
    """Whether test queries get their images; `false` measures a text + image model without them."""

    @field_validator("ks")
    @classmethod
    def _sorted_depths(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if not ks or min(ks) < 1:
            raise ValueError("ks needs at least one depth, each 1 or more")
        return tuple(sorted(set(ks)))

    @model_validator(mode="after")
    def _deep_enough(self) -> Self:
        if self.ks[-1] > self.top_k:
            raise ValueError(f"ks goes to {self.ks[-1]}, but only top_k = {self.top_k} predictions are kept")
        return self


class BaselineParams(Params):
    """Baselines next to the variants: nearest training queries, and a linear tree."""

    neighbours: int = Field(20, ge=1)
    """Training queries that vote for each test query."""
    power: float = Field(3.0, gt=0)
    """A neighbour votes with weight similarity ** power."""
    image_weight: float = Field(0.4, ge=0, le=1)
    """Weight of the image votes in the fusion of text and image votes; the text votes have the remaining weight."""
    tune: bool = True
    """Choose `neighbours` and `power` for text and for images, and `image_weight`, on the validation split, like the
    variants' rankings; without a split, on training queries that are not their own neighbours."""
    neighbour_grid: tuple[int, ...] = (5, 10, 20, 50, 100)
    """Numbers of neighbours tried."""
    power_grid: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 8.0)
    """Powers tried."""
    weight_grid: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Image weights tried."""
    tuning_queries: int = Field(1000, ge=1)
    """Number of queries used for tuning, spread evenly over all."""
    max_queries: int | None = Field(None, ge=1)
    """Number of test queries used for the baselines, spread evenly over all, for data whose nearest neighbours would
    take hours; the tables then give the number. null uses all."""
    linear_tree: bool = True
    """Also train linear classifiers on words in a label tree, which takes about a minute for 33,000 queries and 26,000
    labels."""
    query_block: int = Field(512, ge=1)
    """Test queries processed at the same time (comparing images, counting votes); memory grows with it."""
