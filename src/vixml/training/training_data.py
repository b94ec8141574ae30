"""What a training reads: tokens and images of each side, gathered by rows, and who is relevant to whom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.data.ragged import RaggedArray
from vixml.data.tokens import TokenStore
from vixml.images.bank import ImageBank
from vixml.models.item_batch import ItemBatch

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ItemSource:
    """Tokens and images of one side.

    Args:
        tokens: Token ids of each item.
        image_rows: Image-bank rows of each item, cut to the most images an item may have; None for text only.
        vectors: The image bank float16 [unique images, d], memory-mapped; None for text only.
    """

    tokens: RaggedArray
    image_rows: RaggedArray | None = None
    vectors: NDArray[np.floating] | None = None

    @classmethod
    def open(cls, side: str, tokens: TokenStore, bank: ImageBank | None, *, max_images: int) -> ItemSource:
        """Open one side (`train`, `validation`, `test`, `label`)."""
        if bank is None:
            return cls(tokens.side(side))
        return cls(tokens.side(side), bank.images_of(side).truncate(max_images), bank.vectors)

    def __len__(self) -> int:
        return len(self.tokens)

    def without_images(self) -> ItemSource:
        """Return the same items as if none had an image."""
        return self if self.image_rows is None else replace(self, image_rows=self.image_rows.truncate(0))

    def batch(self, rows: Ints) -> ItemBatch:
        """Gather the given items."""
        return self.load(self.outline(rows))

    def outline(self, rows: Ints) -> ItemBatch:
        """Gather the given items with the image bank's rows [total images] in place of its vectors."""
        tokens = self.tokens.take(rows)
        if self.image_rows is None or self.vectors is None:
            return ItemBatch(tokens)
        images = self.image_rows.take(rows)
        return ItemBatch(tokens, images.values, images.lengths)

    def load(self, outline: ItemBatch) -> ItemBatch:
        """Put the image vectors into an `outline`, of this side or of another one with the same bank."""
        if self.vectors is None:
            return outline
        return replace(outline, images=self.vectors[outline.images])


@dataclass(frozen=True)
class Validation:
    """Held-out queries.

    Args:
        queries: The queries, n.
        relevance: Relevance [n, L].
        exclude: Pairs to leave out of the predictions [n, L].
        inverse_propensity: float64 [L].
        ks: Depths of the metrics.
    """

    queries: ItemSource
    relevance: sp.csr_matrix
    exclude: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]
    ks: tuple[int, ...] = (1, 5, 10)


@dataclass(frozen=True)
class TrainingData:
    """What a training reads.

    Args:
        queries: Training queries, N.
        labels: Labels, L.
        relevance: Relevance [N, L].
        inverse_propensity: float64 [L].
        validation: Held-out queries, or None.
        soft_labels: How likely a teacher finds the labels of the queries, CSR [N, L]; None without a teacher.
    """

    queries: ItemSource
    labels: ItemSource
    relevance: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]
    validation: Validation | None = None
    soft_labels: sp.csr_matrix | None = None
