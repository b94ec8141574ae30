"""Matryoshka representations: the objective over nested prefixes of the embeddings (Kusupati et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn.functional import normalize

Objective = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""Unit embeddings, each [n, d] -> the scalar loss and its detached terms."""


def nested_loss(
    objective: Objective, embeddings: Sequence[Tensor], dims: Sequence[int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the objective's value at full width plus its values at each shorter width, with equal weights.

    Args:
        objective: Called with all embeddings, first at full width, then with their first `dim` numbers, rescaled to
            unit length, for each of `dims`. It must draw the same random numbers at each call.
        embeddings: Unit embeddings, each [n, d].
        dims: Shorter widths, each below d; none gives the objective itself.

    Returns:
        The scalar sum, and the terms: those of the full width, and the loss of each shorter one as `loss_dim_64`.
    """
    total, terms = objective(*embeddings)
    for dim in dims:
        loss, _ = objective(*(normalize(vectors[:, :dim], dim=-1) for vectors in embeddings))
        total = total + loss
        terms = {**terms, f"loss_dim_{dim}": loss.detach()}
    return total, terms
