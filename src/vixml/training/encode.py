"""Whole sides through the network without gradient: embeddings, prototypes, and the metrics of held-out queries.

The embeddings of millions of items do not have to fit into main memory: what is embedded goes into a file block by
block, in half precision unless somebody asks for more, and is read back through a memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch.nn.functional import normalize

from vixml.core.progress import progress
from vixml.data.array_writer import ArrayWriter
from vixml.distributed import group
from vixml.metrics.ranking import ranking_metrics
from vixml.models.device import full_memory_says
from vixml.models.dual import DualModel
from vixml.models.item_batch import ItemBatch
from vixml.models.precision import autocast
from vixml.retrieval.exact import shorten, top_k
from vixml.training.training_data import ItemSource, Validation

TEXTS, PROTOTYPES = "label_texts.npy", "label_prototypes.npy"
_BLOCK, _LEAST, _SHARES = 8192, 1024, 8

Vectors = NDArray[np.floating]
Embed = Callable[[ItemBatch, slice], Sequence[torch.Tensor]]


def embed_all(
    model: DualModel,
    source: ItemSource,
    *,
    precision: str,
    desc: str,
    into: Path | None = None,
    dtype: DTypeLike = np.float16,
    dim: int | None = None,
) -> Vectors:
    """Return unit embeddings [n, d] of all items, in evaluation mode (the mode is restored).

    Several ranks embed a share of the blocks each; all get all embeddings.

    Args:
        model: The model.
        source: The items.
        precision: Arithmetic of the network.
        desc: Name of the progress bar.
        into: `.npy` file that they are written to block by block, which all ranks see; the result is a memory map of
            it. None keeps them in main memory.
        dtype: Type of the numbers.
        dim: First numbers that are kept of each, see `shorten`; None for all.
    """

    def embed(batch: ItemBatch, rows: slice) -> Sequence[torch.Tensor]:
        with autocast(precision, model.device):
            return [model.embed(batch)]

    return _encode(model, source, embed, [into], desc=desc, dtype=dtype, dim=dim)[0]


@contextmanager
def embedded(
    model: DualModel, source: ItemSource, file: Path, *, precision: str, desc: str
) -> Iterator[NDArray[np.float16]]:
    """Yield the embeddings float16 [n, d] of all items as a memory map of `file`, which is removed afterwards."""
    try:
        yield embed_all(model, source, precision=precision, desc=desc, into=file)  # type: ignore[misc]
    finally:
        if group.leads():
            file.unlink(missing_ok=True)


def embed_labels(
    model: DualModel,
    source: ItemSource,
    *,
    precision: str,
    desc: str,
    into: Path | None = None,
    dtype: DTypeLike = np.float16,
    dim: int | None = None,
) -> tuple[Vectors, Vectors]:
    """Return unit text embeddings and prototypes, each [L, d], of all labels, in evaluation mode.

    Both in one pass: prototypes are made from the embeddings before those are scaled to unit length.

    Args:
        model: The model.
        source: The labels.
        precision: Arithmetic of the network.
        desc: Name of the progress bar.
        into: Folder that takes `label_texts.npy` and `label_prototypes.npy`; None keeps them in main memory.
        dtype: See `embed_all`.
        dim: See `embed_all`.
    """

    def embed(batch: ItemBatch, rows: slice) -> Sequence[torch.Tensor]:
        pooled, prototypes = _prototypes(model, batch, rows, precision)
        return [normalize(pooled, dim=-1), prototypes]

    files = [None if into is None else into / name for name in (TEXTS, PROTOTYPES)]
    texts, prototypes = _encode(model, source, embed, files, desc=desc, dtype=dtype, dim=dim)
    return texts, prototypes


@contextmanager
def embedded_labels(
    model: DualModel, source: ItemSource, folder: Path, *, precision: str, desc: str
) -> Iterator[tuple[Vectors, Vectors]]:
    """Yield what `embed_labels` returns, float16, as memory maps of files in `folder` that are removed afterwards."""
    try:
        yield embed_labels(model, source, precision=precision, desc=desc, into=folder)
    finally:
        if group.leads():
            for name in (TEXTS, PROTOTYPES):
                (folder / name).unlink(missing_ok=True)


def validate(model: DualModel, labels: ItemSource, data: Validation, *, precision: str) -> dict[str, float]:
    """Return the metrics of the current model with its stale centroids if any, by exact search over all labels."""

    def embed(batch: ItemBatch, rows: slice) -> Sequence[torch.Tensor]:
        return [_prototypes(model, batch, rows, precision)[1]]

    (prototypes,) = _encode(model, labels, embed, [None], desc="validation labels")
    queries = embed_all(model, data.queries, precision=precision, desc="validation queries")
    _, top = top_k(queries, prototypes, max(data.ks), exclude=data.exclude, device=model.device)
    return ranking_metrics(top, data.relevance, data.inverse_propensity, data.ks)


def _prototypes(model: DualModel, batch: ItemBatch, rows: slice, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pooled embeddings and prototypes, each [b, d], of the labels `rows`."""
    with autocast(precision, model.device):
        pooled = model.pool(batch)
    return pooled, model.prototypes(pooled, torch.arange(rows.start, rows.stop, device=model.device))


def _encode(
    model: DualModel,
    source: ItemSource,
    embed: Embed,
    files: Sequence[Path | None],
    *,
    desc: str,
    dtype: DTypeLike = np.float16,
    dim: int | None = None,
) -> list[Vectors]:
    """Embed all items block by block; return what goes into each of the files, or into main memory.

    Ranks take turns of as many blocks as there are ranks, so that no rank ever holds more than a turn's embeddings.
    """
    count, width = len(source), dim or model.embedder.dim
    in_memory = [np.zeros((count, width), dtype=dtype) if file is None else None for file in files]
    was_training = model.training
    model.eval()
    with ExitStack() as stack:
        writers = [
            stack.enter_context(ArrayWriter(file, (count, width), dtype)) if file and group.leads() else None
            for file in files
        ]
        bar = stack.enter_context(_encoding(desc, count))
        for turn in _turns(count):
            found = _take_turn(model, source, embed, turn, len(files))
            for vectors, writer, kept in zip(found, writers, in_memory, strict=True):
                short = shorten(vectors, dim)
                if kept is not None:
                    kept[turn[0].start : turn[-1].stop] = short
                elif writer is not None:
                    writer.append(short)
            bar.update(turn[-1].stop - turn[0].start)
    model.train(was_training)
    group.decided(lambda: None)  # the leader's files are complete
    return [_opened(file) if kept is None else kept for file, kept in zip(files, in_memory, strict=True)]


def _opened(file: Path | None) -> Vectors:
    assert file is not None
    vectors: Vectors = np.load(file, mmap_mode="r", allow_pickle=False)
    return vectors


def _take_turn(
    model: DualModel, source: ItemSource, embed: Embed, turn: Sequence[slice], outputs: int
) -> list[NDArray[np.float32]]:
    """Return the embeddings of a turn's blocks, of which each rank embeds one: float32 [items of the turn, d] each."""
    start = turn[0].start
    mine = turn[group.rank()] if group.rank() < len(turn) else None
    own = []
    if mine is not None:
        batch = source.batch(np.arange(mine.start, mine.stop))
        own = [vectors.float().cpu().numpy() for vectors in embed(batch, mine)]
    if not group.is_divided():
        return own
    whole = [np.zeros((turn[-1].stop - start, model.embedder.dim), dtype=np.float32) for _ in range(outputs)]
    if mine is not None:
        for vectors, part in zip(whole, own, strict=True):
            vectors[mine.start - start : mine.stop - start] = part
    return [group.put_together(vectors) for vectors in whole]


def _turns(count: int) -> Iterator[list[slice]]:
    """Yield the blocks of `count` items, as many at a time as there are ranks.

    Few items make smaller blocks, so that all ranks have some; the blocks do not depend on how many ranks there are.
    """
    size = max(_LEAST, min(_BLOCK, -(-count // _SHARES)))
    blocks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    for first in range(0, len(blocks), group.num_ranks()):
        yield blocks[first : first + group.num_ranks()]


@contextmanager
def _encoding(desc: str, total: int) -> Iterator[Any]:
    """Without gradient, with a progress bar, and with a sentence where a GPU's memory runs out."""
    less = "lower batching.chunk_tokens."
    with full_memory_says(less), torch.inference_mode(), progress(desc=desc, total=total, unit="item") as bar:
        yield bar
