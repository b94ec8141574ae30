"""Explicitly mined hard negatives: the labels nearest to a query that are neither relevant nor nearly the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.params.batching import BatchingParams
from vixml.params.retrieval import RetrievalParams
from vixml.retrieval.blocks import resident
from vixml.retrieval.index import build_index

Ints = NDArray[np.int64]

LOOKED_AT = 2
"""Labels looked at for each one that is kept, so that near-duplicates can be left out."""

_ROWS = 65_536  # queries searched at once
_VALUES = 1 << 25  # numbers of the texts compared at once: 128 MB


@dataclass(frozen=True)
class Mined:
    """Hard negative labels of some queries.

    Args:
        labels: Label ids int32 [n, count], nearest first, -1 where fewer are left.
        scores: Their similarities to the query float32 [n, count], -inf where fewer are left.
        duplicates: Labels looked at that were left out as nearly the same, int32, n rows, nearest first.
        near_duplicates: Their share of the labels looked at.
        looked_at: Number of labels looked at.
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    duplicates: RaggedArray
    near_duplicates: float
    looked_at: int = 0


def mine_labels(
    queries: NDArray[np.floating],
    prototypes: NDArray[np.floating],
    texts: NDArray[np.floating],
    relevance: sp.csr_matrix,
    *,
    rows: Ints | None = None,
    params: BatchingParams,
    device: str,
) -> Mined:
    """Return the nearest labels of every query that are safe to call wrong.

    The `2 * mined_labels` nearest irrelevant labels are looked at. Near-duplicates are left out, since they are likely
    to be relevant though nobody said so: labels whose text is as similar to a relevant label's as
    `duplicate_similarity`, or that are as similar to the query as `duplicate_query_similarity`. Of the others the first
    `mined_labels` are kept.

    Args:
        queries: Unit query embeddings [N, d], of any float type, as are the labels'; all may be memory maps.
        prototypes: What represents the labels in the search [L, d].
        texts: Unit embeddings of the labels' own text and images [L, d].
        relevance: Relevance [N, L]; relevant labels are never mined.
        rows: Queries that labels are mined for [n]; None for all.
        params: How many, which search, and the thresholds.
        device: Where to search and compare.
    """
    count, num_labels = params.mined_labels, len(prototypes)
    rows = np.arange(len(queries)) if rows is None else rows
    depth = min(LOOKED_AT * count, num_labels)
    labels = np.full((len(rows), count), -1, dtype=np.int32)
    scores = np.full((len(rows), count), -np.inf, dtype=np.float32)
    index = build_index(prototypes, RetrievalParams(kind=params.mining_index), device=device)
    threshold = params.duplicate_similarity
    texts_ld = resident(texts, torch.device(device)) if threshold is not None else None
    # of each block the labels, and how many a query
    left_out: list[tuple[NDArray[np.int32], Ints]] = [(np.empty(0, np.int32), np.empty(0, np.int64))]
    looked_at = 0
    for begin in range(0, len(rows), _ROWS):
        part = slice(begin, begin + _ROWS)
        true = sp.csr_matrix(relevance[rows[part]])
        found_scores, found = index.search(queries[rows[part]], depth, exclude=true)
        same = np.zeros(found.shape, dtype=bool)
        if params.duplicate_query_similarity is not None:
            same |= found_scores >= params.duplicate_query_similarity
        if threshold is not None and texts_ld is not None:
            same |= _similar_to_a_relevant_one(found, texts_ld, true) >= threshold
        same &= found >= 0
        looked_at += int((found >= 0).sum())
        left_out.append((found[same].astype(np.int32), same.sum(axis=1)))
        found[same], found_scores[same] = -1, -np.inf
        kept = np.argsort(found < 0, axis=1, kind="stable")[:, :count]
        labels[part, : kept.shape[1]] = np.take_along_axis(found, kept, axis=1)
        scores[part, : kept.shape[1]] = np.take_along_axis(found_scores, kept, axis=1)
    values, lengths = (np.concatenate(parts) for parts in zip(*left_out, strict=True))
    return Mined(labels, scores, RaggedArray(values, offsets_of(lengths)), len(values) / max(1, looked_at), looked_at)


def _similar_to_a_relevant_one(
    found: Ints, texts: NDArray[np.floating] | torch.Tensor, relevance: sp.csr_matrix
) -> NDArray[np.float32]:
    """Return how similar each found label's text is to the most similar relevant label's, float32 [n, k]; -1 for none.

    One product a query: [k, d] by [d, its relevant labels]. Pair by pair a label found would be read once for each of
    them.

    Args:
        found: Label ids [n, k], -1 for none.
        texts: Unit embeddings [L, d].
        relevance: Relevance [n, L].
    """
    counts = np.diff(relevance.indptr).astype(np.int64)
    most = np.full(found.shape, -1.0, dtype=np.float32)
    order = np.argsort(counts, kind="stable")  # queries of about as many relevant labels side by side: little padding
    order = order[np.searchsorted(counts[order], 0, side="right") :]
    while len(order):
        widest = int(counts[order[-1]])
        fit = max(1, _VALUES // ((found.shape[1] + widest) * texts.shape[1]))
        rows, order = order[-fit:], order[:-fit]
        place = np.minimum(np.arange(widest), counts[rows, None] - 1)  # a row's last label fills it up
        positive = relevance.indices[relevance.indptr[rows, None] + place].astype(np.int64)
        candidate = np.maximum(found[rows], 0)
        similarity = torch.bmm(_floats(texts, candidate), _floats(texts, positive).mT).amax(dim=2)
        most[rows] = similarity.cpu().numpy()
    return most


def _floats(texts: NDArray[np.floating] | torch.Tensor, labels: Ints) -> torch.Tensor:
    """Return the texts of labels [n, k] as float32 [n, k, d], where the texts are."""
    if isinstance(texts, torch.Tensor):
        return texts[torch.from_numpy(labels).to(texts.device)].float()
    return torch.from_numpy(texts[labels]).float()
