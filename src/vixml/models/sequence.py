"""Sequences of one batch, packed without padding: which token, image or prompt word sits where.

Everything here is integer arithmetic over whole batches in NumPy; no Python loop over items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vixml.data.ragged import offsets_of, ragged_indices
from vixml.models.item_batch import ItemBatch

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PackedBatch:
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


@dataclass(frozen=True)
class Chunk:
    """Items of a batch that go through the network at once.

    Args:
        rows: Which ones, int64 [b].
        seed: Where their dropout starts; None goes on with the stream in force.
    """

    rows: Ints
    seed: int | None = None


@dataclass(frozen=True)
class InputTemplate:
    """What stands around text and images, the same for queries and labels (ViXML, section 3 and table 6).

        images first:  begin [image_prompt IMAGES] lead text_prompt TEXT end
        text first:    begin lead text_prompt TEXT [image_prompt IMAGES] end

    Args:
        images_first: Which of the two; the default with nothing around is that of encoders.
        reserved: Positions kept free where images come first: a text begins at the same position however many images
            its item has. 0 counts what is there, as for decoders, whose positions are relative.
        begin: Token ids before everything.
        lead: Tokens of a text that its prompt must not come before ([CLS]).
        text_prompt: Token ids before the text.
        image_prompt: Token ids before the images, only of items that have some.
        end: Token ids after everything.
    """

    images_first: bool = True
    reserved: int = 3
    begin: tuple[int, ...] = ()
    lead: int = 0
    text_prompt: tuple[int, ...] = ()
    image_prompt: tuple[int, ...] = ()
    end: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        """Number of token ids that it adds to an item with images."""
        return len(self.begin) + len(self.text_prompt) + len(self.image_prompt) + len(self.end)


def pack(batch: ItemBatch, template: InputTemplate) -> PackedBatch:
    """Pack the sequences of a batch: item after item, without padding.

    An absent image takes no place and no work. An item without images gets exactly the sequence of a text-only network,
    but for the positions that `template.reserved` keeps free.
    """
    counts, lengths = _counts(batch), _segment_lengths(batch, template)
    at_image, at_words = (1, 3) if template.images_first else (4, 1)
    offsets, starts = _segments(lengths)
    token_ids = np.zeros(offsets[-1], dtype=np.int64)

    def places(segment: int) -> Ints:
        return ragged_indices(starts[segment], lengths[segment])

    is_lead = _place_in_row(batch.tokens.offsets) < template.lead
    token_ids[places(at_words)] = batch.tokens.values[is_lead]
    token_ids[places(at_words + 2)] = batch.tokens.values[~is_lead]
    fixed = {
        0: template.begin,
        at_words + 1: template.text_prompt,
        at_image: template.image_prompt,
        len(lengths) - 1: template.end,
    }
    for segment, ids in fixed.items():
        token_ids[places(segment)] = np.tile(np.asarray(ids, np.int64), int((lengths[segment] > 0).sum()))
    positions = _place_in_row(offsets)
    if template.images_first and template.reserved and batch.images is not None:
        # the words behind the images stand where they would with all images there
        absent = template.reserved - counts + len(template.image_prompt) - lengths[at_image]
        behind = lengths[at_words:].sum(axis=0)
        positions[ragged_indices(starts[at_words], behind)] += np.repeat(absent, behind)
    return PackedBatch(token_ids, places(at_image + 1), positions, offsets)


def sequence_lengths(batch: ItemBatch, template: InputTemplate) -> Ints:
    """Return the length of each item's sequence, int64 [items], for which no image vector is needed."""
    lengths: Ints = _segment_lengths(batch, template).sum(axis=0)
    return lengths


def _segment_lengths(batch: ItemBatch, template: InputTemplate) -> Ints:
    """Return the lengths of all items' segments in their order, int64 [7, items]."""
    counts, text = _counts(batch), batch.tokens.lengths
    ones, has_image = np.ones_like(counts), (counts > 0).astype(np.int64)
    lead = np.minimum(text, template.lead)
    prompt = has_image * len(template.image_prompt)
    words = [lead, ones * len(template.text_prompt), text - lead]
    inner = [prompt, counts, *words] if template.images_first else [*words, prompt, counts]
    return np.stack([ones * len(template.begin), *inner, ones * len(template.end)])


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


def _place_in_row(offsets: Ints) -> Ints:
    """Return 0, 1, 2, ... within each row, int64 [total]."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def _segments(lengths: Ints) -> tuple[Ints, Ints]:
    """Return item offsets [items + 1] and the flat start of every segment [segments, items]."""
    offsets = offsets_of(lengths.sum(axis=0))
    before = np.cumsum(lengths, axis=0) - lengths
    return offsets, offsets[:-1] + before
