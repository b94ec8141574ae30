"""How a label is represented: its text embedding, alone or combined with vectors of its own.

The vector that queries are compared with is called the label's prototype throughout, whatever it is made of. The
objective decides which kind a model has (`ObjectiveParams.label_side`); nothing else in the system asks for it.

| kind | prototype | objectives |
|---|---|---|
| `prototype` | transformer layer over text embedding as pooled, free vector and centroid; fitted afterwards | PRIME |
| `auxiliary` | normalised sum of unit text embedding and free vector | DEXA |
| `text` | the unit text embedding | NGAME, softmax family |

Every kind takes text embeddings as the network pools them, before they are scaled to unit length, and scales them where
its method does: PRIME's combiner reads them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vixml.models.prototype import PrototypeCombiner
from vixml.params.model import PrototypeParams
from vixml.params.objective import LabelSideKind


class SharedVectors(nn.Module):
    """Learnable free vectors F of width d, Xavier-initialised; labels share them when there are more labels.

    Args:
        num_vectors: Number of vectors F.
        dim: Their width d.
        num_labels: Number of labels L.
    """

    def __init__(self, num_vectors: int, dim: int, num_labels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_vectors, dim)
        nn.init.xavier_uniform_(self.table.weight)
        self.of_label = nn.Buffer(torch.arange(num_labels) % num_vectors)

    def forward(self, labels: Tensor) -> Tensor:
        """Return the vectors [..., d] of labels given by their ids int64 [...]."""
        found: Tensor = self.table(self.of_label[labels])
        return found


class LabelSide(nn.Module):
    """The text embedding is the prototype; base of the kinds that add vectors.

    Attributes `free` (`SharedVectors`), `centroids` (buffer float16 [L, d], as the bank whose means they are) and
    `offsets` (buffer float16 [L, d], by which fitting moved the prototypes) are None where the kind has none: nothing
    is then stored, trained or computed for them.

    Args:
        num_labels: Number of labels L.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.free: SharedVectors | None = None
        self.centroids: Tensor | None
        self.register_buffer("centroids", None)
        self.offsets: Tensor | None
        self.register_buffer("offsets", None)

    @property
    def vector_names(self) -> tuple[str, ...]:
        """What a label has besides its text embedding: some of `free`, `centroid`, `offset`."""
        present = {"free": self.free, "centroid": self.centroids, "offset": self.offsets}
        return tuple(name for name, value in present.items() if value is not None)

    def vectors(self, labels: Tensor) -> dict[str, Tensor]:
        """Return what labels have besides their text embeddings.

        Args:
            labels: Their ids int64 [...].

        Returns:
            A tensor [..., d] for each of `vector_names`.
        """
        found = {}
        if self.free is not None:
            found["free"] = self.free(labels)
        if self.centroids is not None:
            found["centroid"] = self.centroids[labels].float()
        if self.offsets is not None:
            found["offset"] = self.offsets[labels].float()
        return found

    def combine(self, pooled: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
        """Return unit prototypes [n, d].

        Args:
            pooled: Text embeddings [n, d], before they are scaled to unit length.
            vectors: A tensor [n, d] for each of `vector_names`.
        """
        return normalize(pooled.float(), dim=-1)

    def forward(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """Return the unit prototypes [n, d] of labels from their pooled embeddings [n, d] and ids int64 [n]."""
        return self.combine(pooled, self.vectors(labels))


class AuxiliarySide(LabelSide):
    """DEXA (Dahiya et al., KDD 2023): N(text + a), with an auxiliary vector a that neighbouring labels share.

    Args:
        dim: Embedding width d.
        num_vectors: Number of auxiliary vectors.
        num_labels: Number of labels L.
    """

    def __init__(self, dim: int, *, num_vectors: int, num_labels: int) -> None:
        super().__init__(num_labels)
        self.free = SharedVectors(num_vectors, dim, num_labels)

    def combine(self, pooled: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
        """Return the normalised sums [n, d] of unit text embeddings and auxiliary vectors."""
        return normalize(normalize(pooled.float(), dim=-1) + vectors["free"].float(), dim=-1)


class PrototypeSide(LabelSide):
    """PRIME (NAACL 2025, section 3.2): the combiner over text embedding, free vector and centroid.

    Args:
        combiner: The combiner, of width d.
        dim: Embedding width d.
        num_vectors: Number of free vectors.
        num_labels: Number of labels L.
        fitted: Whether the prototypes are fitted after training; until then nothing is added to them.
    """

    def __init__(
        self, combiner: PrototypeCombiner, dim: int, *, num_vectors: int, num_labels: int, fitted: bool = False
    ) -> None:
        super().__init__(num_labels)
        self.combiner = combiner
        self.free = SharedVectors(num_vectors, dim, num_labels)
        self.centroids = torch.zeros(num_labels, dim, dtype=torch.float16)  # takes the place of the registered None
        if fitted:
            self.offsets = torch.zeros(num_labels, dim, dtype=torch.float16)

    def combine(self, pooled: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
        """Return the combiner's outputs [n, d]; after training moved by the offsets, where there are some."""
        prototypes: Tensor = self.combiner(pooled, vectors["free"], vectors["centroid"])
        if self.training or "offset" not in vectors:
            return prototypes
        return normalize(prototypes + vectors["offset"], dim=-1)


def make_label_side(kind: LabelSideKind, dim: int, params: PrototypeParams, *, num_labels: int) -> LabelSide:
    """Return a new label side, its random parts drawn from torch's generator.

    Args:
        kind: Which one.
        dim: Embedding width d.
        params: Combiner and number of free vectors.
        num_labels: Number of labels L.
    """
    if kind == "text":
        return LabelSide(num_labels)
    num_vectors = min(params.free_vectors, num_labels)
    if kind == "auxiliary":
        return AuxiliarySide(dim, num_vectors=num_vectors, num_labels=num_labels)
    combiner = PrototypeCombiner(
        dim,
        num_heads=params.num_heads,
        feedforward=params.feedforward,
        dropout=params.dropout,
        gate=params.gate,
    )
    fitted = params.fit is not None
    return PrototypeSide(combiner, dim, num_vectors=num_vectors, num_labels=num_labels, fitted=fitted)
