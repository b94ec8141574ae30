"""What items are compared by: their texts, their embedding, and their images, each a space of unit rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.data.ragged import offsets_of
from vixml.ranking.lexical import LexicalFeatures
from vixml.ranking.similarity import Blocks
from vixml.ranking.whitening import Whitening

EMBEDDING, IMAGES = "embedding", "images"
_EMBEDDING_FLOOR = 1e-2  # chosen on validation queries: embeddings keep more of their own scale than raw image features


@dataclass(frozen=True)
class ImageRows:
    """The frozen vectors of items' images, one item after the other.

    Args:
        vectors: [m, D], a row for each image.
        offsets: int64 [n + 1]; item i has the rows `offsets[i]` up to `offsets[i + 1]`.
    """

    vectors: NDArray[Any]
    offsets: NDArray[np.int64]

    @classmethod
    def join(cls, blocks: Sequence[ImageRows]) -> ImageRows | None:
        """Return the rows of all blocks, rounded as in an image bank; None for no block at all."""
        if not blocks:
            return None
        lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
        return cls(np.concatenate([block.vectors for block in blocks]).astype(np.float16), offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.int64]) -> ImageRows:
        """Return the rows of some items."""
        lengths = np.diff(self.offsets)[rows]
        offsets = offsets_of(lengths)
        kept = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return ImageRows(self.vectors[kept], offsets)


@dataclass(frozen=True)
class Described:
    """Items as a ranking sees them.

    Args:
        texts: n texts.
        vectors: Their embeddings [n, d].
        images: Their images; None where the ranking looks at none.
    """

    texts: Sequence[str]
    vectors: NDArray[Any]
    images: ImageRows | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: slice) -> Described:
        begin, end, _ = rows.indices(len(self))
        images = self.images
        if images is not None:
            at = images.offsets[begin : end + 1]
            images = ImageRows(images.vectors[at[0] : at[-1]], at - at[0])
        return Described(self.texts[begin:end], self.vectors[begin:end], images)

    def take(self, rows: NDArray[np.int64]) -> Described:
        """Return some of the items."""
        images = None if self.images is None else self.images.take(rows)
        return Described([self.texts[row] for row in rows], self.vectors[rows], images)

    @classmethod
    def join(cls, one: Described, other: Described) -> Described:
        """Return the items of both."""
        images = None
        if one.images is not None and other.images is not None:
            images = ImageRows.join([one.images, other.images])
        vectors = np.concatenate([one.vectors, other.vectors])
        return cls([*one.texts, *other.texts], vectors, images)


@dataclass(frozen=True)
class FeatureMaps:
    """Turns items into feature spaces; fitted on training queries.

    Args:
        lexical: Terms of texts.
        embedding: Whitening of embeddings.
        images: Whitening of image vectors; None without images.
    """

    lexical: LexicalFeatures
    embedding: Whitening
    images: Whitening | None = None

    @classmethod
    def fit(cls, queries: Described) -> FeatureMaps:
        """Learn the maps from training queries."""
        images = None
        if queries.images is not None and len(queries.images.vectors):
            images = Whitening.fit(queries.images.vectors)
        vectors = queries.vectors
        embedding = Whitening.fit(vectors, dims=vectors.shape[1], floor=_EMBEDDING_FLOOR)
        return cls(LexicalFeatures.fit(queries.texts), embedding, images)

    def apply(self, items: Described) -> Blocks:
        """Return the spaces of items; an item without an image has a row of zeros among the images."""
        blocks: dict[str, Any] = dict(self.lexical.apply(items.texts))
        blocks[EMBEDDING] = self.embedding.apply(items.vectors)
        if self.images is not None:
            blocks[IMAGES] = _mean_images(self.images, items.images or _no_images(len(items), len(self.images.mean)))
        return blocks

    def save(self, folder: Path) -> None:
        """Write the maps into `folder`, which exists."""
        self.lexical.save(folder)
        self.embedding.save(folder / f"{EMBEDDING}.npz")
        if self.images is not None:
            self.images.save(folder / f"{IMAGES}.npz")

    @classmethod
    def open(cls, folder: Path) -> FeatureMaps:
        """Read what `save` wrote."""
        images = Whitening.open(folder / f"{IMAGES}.npz") if (folder / f"{IMAGES}.npz").exists() else None
        return cls(LexicalFeatures.open(folder), Whitening.open(folder / f"{EMBEDDING}.npz"), images)


def _mean_images(whitening: Whitening, images: ImageRows) -> NDArray[np.float32]:
    """Return the unit mean of each item's whitened image vectors, float32 [n, d]."""
    means = np.zeros((len(images), whitening.projection.shape[1]), dtype=np.float32)
    shown = np.flatnonzero(np.diff(images.offsets))
    if len(shown):
        sums = np.add.reduceat(whitening.apply(images.vectors), images.offsets[shown], axis=0)
        means[shown] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return means


def _no_images(num: int, width: int) -> ImageRows:
    return ImageRows(np.zeros((0, width), dtype=np.float32), offsets_of(np.zeros(num, dtype=np.int64)))
