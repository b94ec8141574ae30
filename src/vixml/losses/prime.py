"""The PRIME objective: three triplet terms and a regulariser (NAACL 2025, section 3.4; ViXML, section 3.3)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from vixml.losses.part import Part
from vixml.losses.regulariser import prototype_regulariser
from vixml.losses.triplet import triplet_loss
from vixml.params.objective import ObjectiveParams


def prime_loss(
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None = None,
    spared: Tensor | None = None,
    part: Part | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L(query, text) + L(query, prototype) + L(text, query) + weight * regulariser.

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: Unit prototypes of the pooled labels [P, d].
        target: Boolean relevance [B, P]; every relevant pair of the pool is marked.
        params: Margins, negatives, weights.
        generator: Draws one positive per row.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.
        part: Which part of the loss to compute; None for all of it.

    Returns:
        The scalar loss, and its detached terms by name.
    """
    # A mined label need not be relevant for any query of the batch; such a row must not dilute the mean.
    covered = target.any(dim=0).float().mean().clamp(min=1e-6)
    part = part or Part.whole(*target.shape)
    on_queries: Any = {"generator": part.draws_of_queries(generator), "spared": part.rows_of_queries(spared)}
    on_labels: Any = {"generator": part.draws_of_labels(generator), "spared": part.rows_of_labels(spared)}
    text_scores = query[part.queries] @ text.T
    prototype_scores = query[part.queries] @ prototype.T
    reverse_scores = text_scores.T if part.is_whole else text[part.labels] @ query.T
    reverse_target, target = part.rows_of_labels(target), part.rows_of_queries(target)
    triplet = partial(
        triplet_loss,
        num_negatives=params.num_negatives,
        margin_min=params.margin_min,
        margin_max=params.margin_max,
        temperature=params.temperature,
    )
    terms = {
        "loss_text": part.of_queries * triplet(text_scores, target, **on_queries),
        "loss_prototype": part.of_queries * triplet(prototype_scores, target, **on_queries),
        "loss_reverse": part.of_labels * triplet(reverse_scores, reverse_target, **on_labels) / covered,
        "regulariser": prototype_regulariser(
            text_scores,
            prototype_scores,
            target,
            margin=params.regulariser_margin,
            num_negatives=params.num_negatives,
            **on_queries,
            total=part.total,
        ),
    }
    total = terms["loss_text"] + terms["loss_prototype"] + terms["loss_reverse"]
    total = total + params.regulariser_weight * terms["regulariser"]
    return total, {name: value.detach() for name, value in terms.items()}
