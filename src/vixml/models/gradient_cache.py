"""Gradient caching: pools of any size in the memory of one chunk (Gao et al., RepL4NLP 2021)."""

from __future__ import annotations

import numpy as np
import torch

from vixml.models.device import send
from vixml.models.dual import DualModel
from vixml.models.item_batch import ItemBatch, take_items
from vixml.models.precision import autocast
from vixml.models.sequence import chunks_by_length


class CachedEmbeddings:
    """Pooled embeddings of a batch whose backward pass holds the activations of one chunk at a time.

    First all chunks are embedded without a graph; the loss is computed on `embeddings`, a leaf. Once the loss has sent
    its gradient there, `backward` embeds chunk after chunk again, with the graph and the same dropout, and sends the
    gradient on into the weights. The gradients are those of one big batch, for one more forward pass.

    Args:
        model: The model, in training mode.
        items: The batch; it is cut into chunks by the model's own `chunk_tokens`.
        precision: Arithmetic of the network.
    """

    def __init__(self, model: DualModel, items: ItemBatch, *, precision: str) -> None:
        self._model, self._items, self._precision = model, items, precision
        lengths = np.diff(model.embedder.pack(items).offsets)
        self._chunks = list(chunks_by_length(lengths, max_tokens=model.embedder.chunk_tokens))
        self._random_states: list[list[torch.Tensor]] = []
        self.embeddings = torch.empty(len(items), model.embedder.dim, device=model.device)
        with torch.no_grad():
            for rows in self._chunks:
                self._random_states.append(_random_state(model.device))
                self.embeddings[self._index(rows)] = self._embed(rows)
        self.embeddings.requires_grad_()

    def backward(self) -> None:
        """Send the gradient of `embeddings` into the weights."""
        assert self.embeddings.grad is not None
        for rows, state in zip(self._chunks, self._random_states, strict=True):
            _set_random_state(state, self._model.device)
            self._embed(rows).backward(self.embeddings.grad[self._index(rows)])

    def _embed(self, rows: np.ndarray) -> torch.Tensor:
        # One autocast context a chunk: it keeps cast copies of the weights, which belong to one graph.
        with autocast(self._precision, self._model.device):
            return self._model.pool(take_items(self._items, rows))

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        return send(rows, self._model.device)


def _random_state(device: torch.device) -> list[torch.Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
