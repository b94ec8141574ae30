"""Label centroids: the mean embedding of a label's training queries (PRIME, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.distributed import group
from vixml.models.dual import DualModel

_WIDENED = 1 << 26  # numbers of the embeddings that are float32 at once: 256 MB


def label_centroids(
    embeddings: NDArray[np.floating], relevance: sp.csr_matrix, *, block: int = 65536
) -> NDArray[np.float32]:
    """Return the mean query embedding of every label float32 [L, d]; see `centroid_blocks`."""
    found = [centroids for _, centroids in centroid_blocks(embeddings, relevance, block=block)]
    return np.concatenate([np.empty((0, embeddings.shape[1]), np.float32), *found])


def centroid_blocks(
    embeddings: NDArray[np.floating], relevance: sp.csr_matrix, *, block: int = 65536
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Average the query embeddings of every label, some labels at a time.

    Args:
        embeddings: Query embeddings [N, d]; may be a memory map.
        relevance: Training relevance [N, L]; its values are ignored.
        block: Labels computed at once.

    Yields:
        Consecutive labels, and their centroids float32 [block, d]; zero rows for labels without a query.
    """
    by_label = sp.csr_matrix((np.ones(relevance.nnz, np.float32), relevance.indices, relevance.indptr), relevance.shape)
    by_label = by_label.T.tocsr()
    counts = np.maximum(np.diff(by_label.indptr), 1).astype(np.float32)
    if embeddings.size <= _WIDENED:
        embeddings = np.asarray(embeddings, dtype=np.float32)  # once, not for each block
    for start in range(0, by_label.shape[0], block):
        part = slice(start, min(start + block, by_label.shape[0]))
        yield part, _sums(embeddings, sp.csr_matrix(by_label[part])) / counts[part, None]


def _sums(embeddings: NDArray[np.floating], by_label: sp.csr_matrix) -> NDArray[np.float32]:
    """Return the sum of each label's queries float32 [l, d]; no more than `_WIDENED` numbers are widened at once."""
    if embeddings.dtype == np.float32:
        return np.asarray(by_label @ embeddings)
    pairs, ends = max(1, _WIDENED // embeddings.shape[1]), by_label.indptr
    sums = np.zeros((by_label.shape[0], embeddings.shape[1]), dtype=np.float32)
    for start in range(0, by_label.nnz, pairs):
        stop = min(start + pairs, by_label.nnz)
        first, last = np.searchsorted(ends, start, side="right") - 1, np.searchsorted(ends, stop)
        rows, place = np.unique(by_label.indices[start:stop], return_inverse=True)
        indptr = np.clip(ends[first : last + 1], start, stop) - start
        ones = np.ones(len(place), dtype=np.float32)
        some = sp.csr_matrix((ones, place, indptr), (last - first, len(rows)))
        sums[first:last] += some @ embeddings[rows].astype(np.float32)
    return sums


def update_centroids(model: DualModel, queries: NDArray[np.floating] | torch.Tensor, relevance: sp.csr_matrix) -> None:
    """Recompute the labels' centroids, where the model has any; several ranks compute a share of them each.

    Args:
        model: The model.
        queries: Embeddings of the training queries [N, d].
        relevance: Their relevance [N, L].
    """
    centroids = model.label_side.centroids
    if centroids is None:
        return
    mine = group.consecutive_share(len(centroids))
    centroids.zero_()
    vectors = queries.cpu().numpy() if isinstance(queries, torch.Tensor) else queries
    for part, found in centroid_blocks(vectors, relevance[:, mine]):
        centroids[mine.start + part.start : mine.start + part.stop] = torch.from_numpy(found).to(centroids)
    group.add_up(centroids)
