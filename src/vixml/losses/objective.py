"""The objectives by name."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vixml.losses.decoupled_softmax import decoupled_softmax_loss
from vixml.losses.dexa import dexa_loss
from vixml.losses.infonce import infonce_loss
from vixml.losses.ngame import ngame_loss
from vixml.losses.prime import prime_loss
from vixml.params.objective import ObjectiveName, ObjectiveParams


class Objective(Protocol):
    """Embeddings [B, d], [P, d], [P, d] and relevance [B, P] to the scalar loss and its detached terms by name.

    Pairs that are `spared` [B, P] are no negatives, although they need not be relevant.
    """

    def __call__(
        self,
        query: Tensor,
        text: Tensor,
        prototype: Tensor,
        target: Tensor,
        params: ObjectiveParams,
        *,
        generator: torch.Generator | None = None,
        spared: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and terms."""


LOSSES: dict[ObjectiveName, Objective] = {
    "prime": prime_loss,
    "dexa": dexa_loss,
    "ngame": ngame_loss,
    "decoupled_softmax": decoupled_softmax_loss,
    "infonce": infonce_loss,
}
"""Objective -> its loss."""
