"""The decoupled softmax of DEXML (Gupta et al., ICLR 2024, section 4): positives do not compete with each other."""

from __future__ import annotations

import torch
from torch import Tensor

from vixml.params.objective import ObjectiveParams


def decoupled_softmax_loss(
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    params: ObjectiveParams,
    *,
    generator: torch.Generator | None = None,
    spared: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean over rows of the mean over a row's positives p of the cross-entropy of p among the negatives.

    With similarities s and temperature t the term of a positive is
    -log(exp(s_p / t) / (exp(s_p / t) + sum over negatives n of exp(s_n / t))).

    Args:
        query: Unit query embeddings [B, d].
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: The same tensor: there are no prototypes.
        target: Boolean relevance [B, P]; every relevant pair of the pool is marked.
        params: Temperature.
        generator: Unused: every positive of the pool counts.
        spared: Boolean [B, P]: pairs that are no negatives, relevant or not; `None` spares the relevant ones alone.

    Returns:
        The scalar loss, and no terms besides. Rows without a positive add nothing.
    """
    scores = query @ text.T / params.softmax_temperature
    # Finite: a row without negatives must not turn into NaN.
    others = target if spared is None else target | spared
    negatives = scores.masked_fill(others, torch.finfo(scores.dtype).min).logsumexp(dim=1, keepdim=True)
    term = torch.nn.functional.softplus(negatives - scores).masked_fill(~target, 0.0)
    return (term.sum(dim=1) / target.sum(dim=1).clamp(min=1)).mean(), {}
