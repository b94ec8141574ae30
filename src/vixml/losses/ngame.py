"""The NGAME objective: one triplet term with a fixed margin (Dahiya et al., WSDM 2023, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from vixml.losses.triplet import triplet_loss
from vixml.params.objective import ObjectiveParams


def ngame_loss(
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None = None,
    spared: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L(query, text): [s_n - s_p + margin]_+ for one positive p and the hardest negatives n of each query.

    As in the published code the violating negatives of a row are weighted by a softmax of their similarities
    (`temperature`); a row's weights sum to 1 and rows are averaged.

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: The same tensor: NGAME has no prototypes.
        target: Boolean relevance [B, P]; every relevant pair of the pool is marked.
        params: Margin, negatives, temperature.
        generator: Draws one positive per row.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.

    Returns:
        The scalar loss, and no terms besides.
    """
    return fixed_margin_triplet(query @ text.T, target, params, generator=generator, spared=spared), {}


def fixed_margin_triplet(
    scores: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None,
    spared: Tensor | None = None,
) -> Tensor:
    """Return the triplet loss of similarities [B, P] at the fixed margin `params.margin`."""
    return triplet_loss(
        scores,
        target,
        num_negatives=params.num_negatives,
        margin_min=params.margin,
        margin_max=params.margin,
        temperature=params.temperature,
        generator=generator,
        spared=spared,
    )
