"""Sequences of one batch, laid out without padding: which token, image or prompt word sits where.

Everything here is integer arithmetic over whole batches in NumPy; no Python loop over items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        image_counts: Images of each item, int64 [items]; None for text only.
    """

    tokens: RaggedArray
    images: NDArray[np.floating] | None = None
    image_counts: Ints | None = None

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Layout:
    """Flat description of all sequences of a batch, item after item, without padding.

    Args:
        token_ids: Token id at each flat position, 0 where an image sits; int64 [total].
        image_at: Flat positions of the images, in the order of the batch's image vectors; int64 [images].
        positions: Position id of each flat position; int64 [total].
        offsets: Item i is positions `offsets[i]:offsets[i + 1]`; int64 [items + 1].
    """

    token_ids: Ints
    image_at: Ints
    positions: Ints
    offsets: Ints


def encoder_layout(batch: ItemBatch, *, image_slots: int) -> Layout:
    """Images first, then the text (ViXML, section 3.2).

    The text always starts at position `image_slots`: an absent image takes no slot and no work, yet leaves its position
    free, so the text's positions depend neither on the item's images nor on the rest of the batch.
    """
    counts = _counts(batch)
    lengths = np.stack([counts, batch.tokens.lengths])
    offsets, starts = _segments(lengths)
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    text_at = ragged_indices(starts[1], lengths[1])
    if batch.images is not None:
        positions[text_at] += np.repeat(image_slots - counts, lengths[1])
    token_ids = np.zeros(offsets[-1], dtype=np.int64)
    token_ids[text_at] = batch.tokens.values
    return Layout(token_ids, ragged_indices(starts[0], lengths[0]), positions, offsets)


def decoder_layout(
    batch: ItemBatch, *, text_prompt: Sequence[int], image_prompt: Sequence[int], end: Sequence[int]
) -> Layout:
    """Prompt, text, [image prompt, images], end token (ViXML, section 3.1).

    An item without images gets exactly the text-only sequence: no image prompt, no slots.
    """
    counts = _counts(batch)
    ones = np.ones(len(batch), dtype=np.int64)
    has_image = (counts > 0).astype(np.int64)
    lengths = np.stack(
        [ones * len(text_prompt), batch.tokens.lengths, has_image * len(image_prompt), counts, ones * len(end)]
    )
    offsets, starts = _segments(lengths)
    token_ids = np.zeros(offsets[-1], dtype=np.int64)
    token_ids[ragged_indices(starts[1], lengths[1])] = batch.tokens.values
    for segment, words in ((0, text_prompt), (2, image_prompt), (4, end)):
        times = int((lengths[segment] > 0).sum())
        token_ids[ragged_indices(starts[segment], lengths[segment])] = np.tile(np.asarray(words, np.int64), times)
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
    return Layout(token_ids, ragged_indices(starts[3], lengths[3]), positions, offsets)


def chunks_by_length(lengths: Ints, *, max_tokens: int, overhead: int = 256) -> Iterator[Ints]:
    """Cut items into chunks of similar length, at the least total cost.

    A chunk costs its padded positions and a fixed `overhead`; the cheapest cuts between the different lengths are found
    by dynamic programming (there are few different lengths, whatever the number of items).

    Args:
        lengths: Sequence lengths [items].
        max_tokens: Most padded positions of a chunk (one item may exceed it alone).
        overhead: What another chunk costs, in positions.

    Yields:
        Item indices of each chunk, by increasing length; every item once.
    """
    order = np.argsort(lengths, kind="stable")
    distinct, counts = np.unique(lengths, return_counts=True)
    ends = np.cumsum(counts)
    best = np.zeros(len(distinct) + 1)
    cut = np.zeros(len(distinct) + 1, dtype=np.int64)
    before = np.concatenate([[0], ends])
    for stop in range(1, len(distinct) + 1):
        costs = best[:stop] + (ends[stop - 1] - before[:stop]) * distinct[stop - 1] + overhead
        cut[stop] = int(np.argmin(costs))
        best[stop] = costs[cut[stop]]
    bounds = [len(distinct)]
    while bounds[-1] > 0:
        bounds.append(int(cut[bounds[-1]]))
    for start, stop in pairwise(reversed(bounds)):
        items = order[before[start] : before[stop]]
        per_chunk = max(1, int(max_tokens // max(distinct[stop - 1], 1)))
        yield from np.array_split(items, -(-len(items) // per_chunk))


def padded_index(offsets: Ints, rows: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return flat positions of the rows padded on the right [b, t] (by their first position), and the mask [b, t]."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    steps = np.arange(lengths.max())
    mask = steps[None, :] < lengths[:, None]
    return np.where(mask, starts[:, None] + steps[None, :], starts[:, None]), mask


def _counts(batch: ItemBatch) -> Ints:
    if batch.image_counts is None:
        return np.zeros(len(batch), dtype=np.int64)
    return batch.image_counts


def _segments(lengths: Ints) -> tuple[Ints, Ints]:
    """Return item offsets [items + 1] and the flat start of every segment [segments, items]."""
    offsets = offsets_of(lengths.sum(axis=0))
    before = np.cumsum(lengths, axis=0) - lengths
    return offsets, offsets[:-1] + before
