"""What the network reads: tokens and images of one side, gathered by rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
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
        tokens = self.tokens.take(rows)
        if self.image_rows is None or self.vectors is None:
            return ItemBatch(tokens)
        images = self.image_rows.take(rows)
        return ItemBatch(tokens, self.vectors[images.values], images.lengths)

    def blocks(self, size: int) -> Iterator[tuple[slice, ItemBatch]]:
        """Yield all items in blocks of `size`."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.batch(np.arange(start, stop))
