"""Triplet loss with a dynamic margin over the hardest negatives of the pool (PRIME, NAACL 2025, section 3.4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vixml.losses.part import RowDraws


def pick_positives(target: Tensor, generator: torch.Generator | RowDraws | None = None) -> Tensor:
    """Draw one positive column per row, uniformly among the row's positives.

    Args:
        target: Boolean relevance of each pooled label [B, P].
        generator: Random stream of the CPU, so that every device draws the same; `None` takes the first positive.

    Returns:
        Column indices int64 [B]; 0 for a row without a positive.
    """
    if generator is None:
        return target.to(torch.uint8).argmax(dim=1)
    if isinstance(generator, RowDraws):
        noise = generator.rand(target.shape)
    else:
        noise = torch.rand(target.shape, generator=generator)
    noise = noise.to(target.device, non_blocking=True)
    return noise.masked_fill(~target, -1.0).argmax(dim=1)


def triplet_loss(
    scores: Tensor,
    target: Tensor,
    *,
    num_negatives: int = 10,
    margin_min: float = 0.1,
    margin_max: float = 0.3,
    temperature: float | None = 0.1,
    reduction: Literal["sum_rows", "mean"] = "sum_rows",
    generator: torch.Generator | RowDraws | None = None,
    spared: Tensor | None = None,
) -> Tensor:
    """Hinge between one positive and the hardest negatives of each row.

    A further relevant label of the pool is never one of the row's negatives. The margin of a pair is
    `clamp(|s_p - s_n|, margin_min, margin_max)` without gradient; equal bounds give NGAME's fixed margin.

    Args:
        scores: Similarities [B, P] of B anchors with P pooled candidates.
        target: Boolean relevance [B, P].
        num_negatives: Hardest negatives kept per row; as many as the pool has, or more, uses every column (the drawn
            positive then stays in its own row with the lowest margin, as in the published loss).
        margin_min: Lower bound of the margin.
        margin_max: Upper bound of the margin.
        temperature: Softmax temperature of the weights over a row's violating negatives; `None` weighs all by 1.
        reduction: `sum_rows` sums over negatives and averages over rows; `mean` averages over all pairs.
        generator: Draws the positive; `None` takes the first.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.

    Returns:
        Scalar loss. Rows without a positive add nothing.
    """
    has_positive = target.any(dim=1, keepdim=True)
    column = pick_positives(target, generator)[:, None]
    positive = scores.gather(1, column)
    candidates = scores.masked_fill(target if spared is None else target | spared, -torch.inf)
    if num_negatives >= scores.shape[1]:
        candidates = candidates.scatter(1, column, positive)
    negative, _ = candidates.topk(min(num_negatives, scores.shape[1]), dim=1, sorted=False)
    real = torch.isfinite(negative) & has_positive
    negative = negative.masked_fill(~real, 0.0)
    margin = (positive - negative).abs().clamp(margin_min, margin_max).detach()
    gap = (negative - positive + margin).masked_fill(~real, -1.0)
    # Not relu: where the dynamic margin meets the distance exactly, `maximum` gives half a gradient, as published.
    hinge = torch.maximum(gap, torch.zeros_like(gap))
    if temperature is not None:
        # A finite fill: a row without violators gets uniform weights (of zeros) instead of NaN.
        logits = (negative / temperature).masked_fill(hinge <= 0, torch.finfo(negative.dtype).min)
        hinge = hinge * torch.softmax(logits, dim=1)
    if reduction == "mean":
        return hinge.mean()
    return hinge.sum(dim=1).mean()
