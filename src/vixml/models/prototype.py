"""PRIME's label prototypes: one transformer layer over text embedding, free vector and centroid (section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

_TEXT_SHARE = 0.2
"""Length of the text beside a centroid of length 1 at the start; a label without centroid starts as its text."""


class PrototypeCombiner(nn.Module):
    """Combine what is known of a label into one unit vector.

    Args:
        dim: Embedding width d.
        num_heads: Attention heads; must divide d.
        feedforward: Width of the feed-forward layer.
        dropout: Dropout probability in training mode.
        gate: None: the layer's output is the prototype (the paper's). A number: the prototype begins as the centroid
            with a fifth of the text, and the output is added to that at this length, which is learned.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        feedforward: int = 1024,
        dropout: float = 0.1,
        gate: float | None = None,
    ) -> None:
        super().__init__()
        self.gate = None if gate is None else nn.Parameter(torch.tensor(float(gate)))
        self.layer = nn.TransformerEncoderLayer(
            dim, num_heads, feedforward, dropout, activation="gelu", batch_first=True, norm_first=False
        )

    def forward(self, text: Tensor, free: Tensor, centroid: Tensor) -> Tensor:
        """Combine n labels.

        Args:
            text: Label embeddings [n, d] as pooled: only the losses on texts scale them to unit length.
            free: Free vectors [n, d].
            centroid: Mean unit embeddings of training queries [n, d]; zero rows for labels without training query.

        Returns:
            Prototypes of unit length [n, d].
        """
        sequence = torch.stack([text, free, centroid], dim=1)
        combined = normalize(self.layer(sequence).float().mean(dim=1), dim=-1)
        if self.gate is None:
            return combined
        # A random layer must first learn to let the centroid through; beside it, the centroid counts from the start.
        start = normalize(normalize(centroid.float(), dim=-1) + _TEXT_SHARE * normalize(text.float(), dim=-1), dim=-1)
        return normalize(start + self.gate * combined, dim=-1)
