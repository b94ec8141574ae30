"""A step's embeddings, chunk by chunk: of one process or of several, with or without gradient caching.

Gradient caching (Gao et al., RepL4NLP 2021) embeds all chunks without a graph, lets the loss send its gradient to the
embeddings, and embeds chunk after chunk again with the graph. Several processes work the same way: each embeds its
share of the chunks, all get all embeddings and compute the whole loss, each sends its own rows' gradient back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from vixml.distributed import group
from vixml.models.device import send
from vixml.models.dual import DualModel
from vixml.models.item_batch import ItemBatch, take_items
from vixml.models.precision import autocast
from vixml.models.sequence import Chunk, chunks_by_length


class ChunkedEmbeddings:
    """Pooled embeddings of a batch [n, d], a leaf on which the loss is computed, and their way back into the weights.

    The chunks and their dropout are those of the whole batch, so the gradients, summed over the ranks, do not depend on
    how many ranks there are, nor on the cache.

    Args:
        model: The model, in training mode.
        items: The batch; it is cut by the model's own `chunk_tokens`.
        load: Puts the image vectors into some of the items, which need not have been read before.
        precision: Arithmetic of the network.
        stream: Number of a chunk -> seed of its dropout.
        cached: Whether the activations of one chunk at a time are held, for one more forward pass.
    """

    def __init__(
        self,
        model: DualModel,
        items: ItemBatch,
        *,
        precision: str,
        stream: Callable[[int], int],
        cached: bool = False,
        load: Callable[[ItemBatch], ItemBatch] = lambda items: items,
    ) -> None:
        self._model, self._items, self._load, self._precision = model, items, load, precision
        lengths = model.embedder.lengths(items)
        cut = chunks_by_length(lengths, max_tokens=model.embedder.chunk_tokens)
        chunks = [Chunk(rows, stream(number)) for number, rows in enumerate(cut)]
        mine = _my_share(chunks, lengths)
        parts = [[chunk] for chunk in mine] if cached else [mine] if mine else []
        self._parts: list[tuple[list[Chunk], torch.Tensor | None]] = []
        self.embeddings = torch.zeros(len(items), model.embedder.dim, device=model.device)
        with torch.no_grad() if cached else nullcontext():
            for part in parts:
                pooled = self._embed(part)
                self.embeddings[self._index(part)] = pooled.detach()
                self._parts.append((part, None if cached else pooled))
        group.add_up(self.embeddings).requires_grad_()

    def backward(self) -> None:
        """Send the gradient of `embeddings` into the weights, and sum theirs over the ranks."""
        assert self.embeddings.grad is not None
        for part, kept in self._parts:
            pooled = self._embed(part) if kept is None else kept
            pooled.backward(self.embeddings.grad[self._index(part)])
        group.add_up_gradients(self._model.embedder.parameters())

    def _embed(self, part: list[Chunk]) -> torch.Tensor:
        """Return the pooled embeddings of some chunks' items, chunk after chunk."""
        lengths = [len(chunk.rows) for chunk in part]
        places = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
        chunks = [Chunk(rows, chunk.seed) for rows, chunk in zip(places, part, strict=True)]
        items = self._load(take_items(self._items, _rows(part)))
        # One autocast context a part: it keeps cast copies of the weights, which belong to one graph.
        with autocast(self._precision, self._model.device):
            return self._model.pool(items, chunks)

    def _index(self, part: list[Chunk]) -> torch.Tensor:
        return send(_rows(part), self._model.device)


def _rows(part: list[Chunk]) -> NDArray[np.int64]:
    return np.concatenate([chunk.rows for chunk in part])


def _my_share(chunks: list[Chunk], lengths: NDArray[np.int64]) -> list[Chunk]:
    """Return this rank's chunks: the longest first, each goes to the rank that has least to do so far."""
    if not group.is_divided():
        return chunks
    costs = [len(chunk.rows) * int(lengths[chunk.rows].max()) for chunk in chunks]
    load, mine = [0] * group.num_ranks(), []
    for place in np.argsort(costs, kind="stable")[::-1]:
        taker = int(np.argmin(load))
        load[taker] += costs[place]
        if taker == group.rank():
            mine.append(int(place))
    return [chunks[place] for place in sorted(mine)]
