"""The dual model: one network for queries and labels, and PRIME's prototypes on the label side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vixml.models.embedder import Embedder
from vixml.models.prototype import PrototypeCombiner
from vixml.models.sequence import ItemBatch


class DualModel(nn.Module):
    """Embedder, prototype combiner, free vectors and centroids.

    Args:
        embedder: Shared network.
        combiner: Prototype combiner.
        num_labels: Number of labels L.
        num_free: Number of free vectors F; labels share them when F < L.
    """

    def __init__(self, embedder: Embedder, combiner: PrototypeCombiner, *, num_labels: int, num_free: int) -> None:
        super().__init__()
        self.embedder, self.combiner = embedder, combiner
        self.free_vectors = nn.Embedding(num_free, embedder.dim)
        nn.init.xavier_uniform_(self.free_vectors.weight)
        self.free_of_label: Tensor
        self.centroids: Tensor
        self.register_buffer("free_of_label", torch.arange(num_labels) % num_free)
        self.register_buffer("centroids", torch.zeros(num_labels, embedder.dim))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedder.device

    @property
    def num_labels(self) -> int:
        """Number of labels L."""
        return len(self.free_of_label)

    def embed(self, batch: ItemBatch) -> Tensor:
        """Return unit-length embeddings float32 [n, d] of queries or label texts."""
        return normalize(self.embedder(batch).float(), dim=-1)

    def prototypes(self, text: Tensor, labels: Tensor) -> Tensor:
        """Return prototypes [n, d] of labels.

        Args:
            text: The labels' embeddings [n, d].
            labels: Their ids int64 [n].
        """
        return self.combiner(text, self.free_vectors(self.free_of_label[labels]), self.centroids[labels])
