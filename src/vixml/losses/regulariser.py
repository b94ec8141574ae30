"""Regulariser that keeps prototypes ahead of the text embeddings (PRIME, NAACL 2025, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vixml.losses.part import RowDraws
from vixml.losses.triplet import pick_positives


def prototype_regulariser(
    text_scores: Tensor,
    prototype_scores: Tensor,
    target: Tensor,
    *,
    margin: float = 0.1,
    num_negatives: int = 10,
    generator: torch.Generator | RowDraws | None = None,
    spared: Tensor | None = None,
    total: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Ask the prototype to be nearer than the text on a positive and farther on the hardest negatives.

    Args:
        text_scores: Query-to-label-text similarities [B, P].
        prototype_scores: Query-to-prototype similarities [B, P].
        target: Boolean relevance [B, P].
        margin: By how much the prototype should win.
        num_negatives: Hardest negatives per row, chosen by prototype similarity.
        generator: Draws the positive; `None` takes the first.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.
        total: Sums counts of active entries over the parts of a divided matrix; None for a whole one.

    Returns:
        Scalar: half the sum of both halves, each averaged over its active (non-zero) entries (0 when there is none).
    """
    has_positive = target.any(dim=1)
    column = pick_positives(target, generator)[:, None]
    positive = (text_scores.gather(1, column) - prototype_scores.gather(1, column) + margin).clamp(min=0.0)
    positive = positive * has_positive[:, None]
    count = min(num_negatives, prototype_scores.shape[1])
    others = target if spared is None else target | spared
    hardest, index = prototype_scores.masked_fill(others, -torch.inf).topk(count, dim=1, sorted=False)
    negative = (prototype_scores.gather(1, index) - text_scores.gather(1, index) + margin).clamp(min=0.0)
    negative = negative * torch.isfinite(hardest)
    active = torch.stack([(values > 0).sum() for values in (positive, negative)])
    active = (active if total is None else total(active)).clamp(min=1)
    return 0.5 * (positive.sum() / active[0] + negative.sum() / active[1])
