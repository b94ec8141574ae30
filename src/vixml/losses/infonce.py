"""InfoNCE over the pool, with the other positives masked (van den Oord et al., 2018; DPR, EMNLP 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from vixml.losses.triplet import pick_positives
from vixml.params.objective import ObjectiveParams


def infonce_loss(
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None = None,
    spared: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean cross-entropy of one drawn positive per row among itself and the row's negatives.

    Relation: the decoupled softmax with one sampled positive in place of the mean over all of the pool.

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: The same tensor: there are no prototypes.
        target: Boolean relevance [B, P]; every relevant pair of the pool is marked.
        params: Temperature.
        generator: Draws the positive; `None` takes the first.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.

    Returns:
        The scalar loss, and no terms besides. Rows without a positive add nothing.
    """
    scores = query @ text.T / params.softmax_temperature
    drawn = pick_positives(target, generator)
    others = (target if spared is None else target | spared).scatter(1, drawn[:, None], value=False)
    logits = scores.masked_fill(others, torch.finfo(scores.dtype).min)
    term = torch.nn.functional.cross_entropy(logits, drawn, reduction="none")
    return (term * target.any(dim=1)).mean(), {}
