"""The DEXA objective: NGAME's loss on label embeddings with auxiliary vectors (Dahiya et al., KDD 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from vixml.losses.ngame import fixed_margin_triplet
from vixml.params.objective import ObjectiveParams


def dexa_loss(
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None = None,
    spared: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L(query, prototype), a triplet term with a fixed margin.

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d]; only the prototypes look at them.
        prototype: Normalised sums of label texts and auxiliary vectors [P, d].
        target: Boolean relevance [B, P]; every relevant pair of the pool is marked.
        params: Margin, negatives, temperature.
        generator: Draws one positive per row.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.

    Returns:
        The scalar loss, and no terms besides.
    """
    return fixed_margin_triplet(query @ prototype.T, target, params, generator=generator, spared=spared), {}
