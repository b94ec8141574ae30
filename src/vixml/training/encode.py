"""Whole sides through the network without gradient: embeddings, prototypes, and the metrics of held-out queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from vixml.core.progress import progress
from vixml.distributed import group
from vixml.metrics.ranking import ranking_metrics
from vixml.models.device import full_memory_says
from vixml.models.dual import DualModel
from vixml.models.precision import autocast
from vixml.retrieval.exact import top_k
from vixml.training.training_data import ItemSource, Validation

_BLOCK, _LEAST, _SHARES = 8192, 1024, 8


def embed_all(model: DualModel, source: ItemSource, *, precision: str, desc: str) -> NDArray[np.float32]:
    """Return unit embeddings float32 [n, d] of all items, in evaluation mode (the mode is restored).

    Several ranks embed a share of the blocks each; all get all embeddings.
    """
    result = _rows_to_fill(len(source), model)
    was_training = model.training
    model.eval()
    with _encoding(desc, len(source)) as bar:
        for rows in _my_blocks(len(source)):
            batch = source.batch(np.arange(rows.start, rows.stop))
            with autocast(precision, model.device):
                result[rows] = model.embed(batch).cpu().numpy()
            bar.update(len(batch) * group.num_ranks())
    model.train(was_training)
    return group.put_together(result)


def embed_labels(
    model: DualModel, source: ItemSource, *, precision: str, desc: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit text embeddings and prototypes, each float32 [L, d], of all labels, in evaluation mode.

    Both in one pass: prototypes are made from the embeddings before those are scaled to unit length. Several ranks
    embed a share of the blocks each; all get all embeddings.
    """
    texts, prototypes = (_rows_to_fill(len(source), model) for _ in range(2))
    was_training = model.training
    model.eval()
    with _encoding(desc, len(source)) as bar:
        for rows in _my_blocks(len(source)):
            batch = source.batch(np.arange(rows.start, rows.stop))
            with autocast(precision, model.device):
                pooled = model.pool(batch)
            ids = torch.arange(rows.start, rows.stop, device=model.device)
            texts[rows] = normalize(pooled, dim=-1).cpu().numpy()
            prototypes[rows] = model.prototypes(pooled, ids).cpu().numpy()
            bar.update(len(batch) * group.num_ranks())
    model.train(was_training)
    return group.put_together(texts), group.put_together(prototypes)


def _rows_to_fill(count: int, model: DualModel) -> NDArray[np.float32]:
    """Return room for `count` embeddings: zeros where other ranks fill in theirs."""
    return np.zeros((count, model.embedder.dim), dtype=np.float32)


def _my_blocks(count: int) -> list[slice]:
    """Return the blocks of `count` items that this rank embeds.

    Few items make smaller blocks, so that all ranks have some; the blocks do not depend on how many ranks there are.
    """
    size = max(_LEAST, min(_BLOCK, -(-count // _SHARES)))
    blocks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return [blocks[number] for number in group.share(len(blocks))]


@contextmanager
def _encoding(desc: str, total: int) -> Iterator[Any]:
    """Without gradient, with a progress bar, and with a sentence where a GPU's memory runs out."""
    less = "lower batching.chunk_tokens."
    with full_memory_says(less), torch.inference_mode(), progress(desc=desc, total=total, unit="item") as bar:
        yield bar


def validate(model: DualModel, labels: ItemSource, data: Validation, *, precision: str) -> dict[str, float]:
    """Return the metrics of the current model with its stale centroids if any, by exact search over all labels."""
    _, prototypes = embed_labels(model, labels, precision=precision, desc="validation labels")
    queries = embed_all(model, data.queries, precision=precision, desc="validation queries")
    _, top = top_k(queries, prototypes, max(data.ks), exclude=data.exclude, device=model.device)
    return ranking_metrics(top, data.relevance, data.inverse_propensity, data.ks)
