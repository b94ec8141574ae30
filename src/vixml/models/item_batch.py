"""What the network takes: texts and images of some items; batches are joined, cut and relieved of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.data.ragged import RaggedArray, offsets_of, ragged_indices

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ItemBatch:
    """Texts and images of some items.

    Args:
        tokens: Token ids, one row an item.
        images: Image vectors, float16 or float32 [total images, vision width], item after item; None for text only.
            Until they are read, the image bank's rows stand for them [total images].
        image_counts: Images of each item, int64 [items]; None for text only.
    """

    tokens: RaggedArray
    images: NDArray[Any] | None = None
    image_counts: Ints | None = None

    def __len__(self) -> int:
        return len(self.tokens)


def concatenate(first: ItemBatch, second: ItemBatch) -> ItemBatch:
    """Put two batches behind each other, so that queries and labels share chunks of equal length."""
    tokens = RaggedArray(
        np.concatenate([first.tokens.values, second.tokens.values]),
        offsets_of(np.concatenate([first.tokens.lengths, second.tokens.lengths])),
    )
    if first.images is None or second.images is None or first.image_counts is None or second.image_counts is None:
        return ItemBatch(tokens)
    return ItemBatch(
        tokens,
        np.concatenate([first.images, second.images]),
        np.concatenate([first.image_counts, second.image_counts]),
    )


def take_items(batch: ItemBatch, rows: Ints) -> ItemBatch:
    """Return some items of a batch."""
    tokens = batch.tokens.take(rows)
    if batch.images is None or batch.image_counts is None:
        return ItemBatch(tokens)
    starts, counts = offsets_of(batch.image_counts)[rows], batch.image_counts[rows]
    return ItemBatch(tokens, batch.images[ragged_indices(starts, counts)], counts)


def drop_images(batch: ItemBatch, dropped: NDArray[np.bool_]) -> ItemBatch:
    """Return the batch with no image left of the items that `dropped` (bool [items]) marks."""
    if batch.images is None or batch.image_counts is None:
        return batch
    kept = ~dropped
    return ItemBatch(batch.tokens, batch.images[np.repeat(kept, batch.image_counts)], batch.image_counts * kept)
