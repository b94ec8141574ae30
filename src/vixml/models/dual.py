"""The dual model: one network for queries and labels, and the representation of labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch
from vixml.models.label_side import LabelSide
from vixml.models.sequence import Chunk


class DualModel(nn.Module):
    """Embedder and label side.

    Args:
        embedder: Shared network.
        label_side: What makes a label's prototype of its text embedding.
    """

    def __init__(self, embedder: Embedder, label_side: LabelSide) -> None:
        super().__init__()
        self.embedder, self.label_side = embedder, label_side

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedder.device

    @property
    def num_labels(self) -> int:
        """Number of labels L."""
        return self.label_side.num_labels

    def pool(self, batch: ItemBatch, chunks: Sequence[Chunk] | None = None) -> Tensor:
        """Return embeddings float32 [n, d] of queries or label texts as pooled, of any length.

        Args:
            batch: n items.
            chunks: Which of them go through the network at once; None leaves that to the network.
        """
        pooled: Tensor = self.embedder(batch, chunks)
        return pooled.float()

    def embed(self, batch: ItemBatch) -> Tensor:
        """Return unit-length embeddings float32 [n, d] of queries or label texts."""
        return normalize(self.pool(batch), dim=-1)

    def prototypes(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """Return unit prototypes [n, d] of labels: what queries are compared with.

        Args:
            pooled: The labels' embeddings [n, d] as pooled.
            labels: Their ids int64 [n].
        """
        prototypes: Tensor = self.label_side(pooled, labels)
        return prototypes
