"""Exact search: the whole score matrix, fully sorted."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


def top_k(
    queries: np.ndarray, labels: np.ndarray, k: int, exclude: sp.csr_matrix | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row by falling score, then rising label, without the excluded labels."""
    scores = queries.astype(np.float32) @ labels.astype(np.float32).T
    found, ids = np.full((len(queries), k), -np.inf, dtype=np.float32), np.full((len(queries), k), -1)
    for row in range(len(queries)):
        removed = set() if exclude is None else set(exclude[row].indices.tolist())
        kept = [label for label in np.argsort(-scores[row], kind="stable") if label not in removed][:k]
        found[row, : len(kept)], ids[row, : len(kept)] = scores[row, kept], kept
    return found, ids


def remove_pairs(scores: np.ndarray, labels: np.ndarray, pairs: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Take excluded labels and padding out of each top list, row by row; -inf and -1 fill its end."""
    kept_scores, kept = np.full_like(scores, -np.inf), np.full_like(labels, -1)
    for row in range(len(labels)):
        removed = {-1, *pairs.indices[pairs.indptr[row] : pairs.indptr[row + 1]].tolist()}
        left = [place for place, label in enumerate(labels[row].tolist()) if label not in removed]
        kept_scores[row, : len(left)], kept[row, : len(left)] = scores[row, left], labels[row, left]
    return kept_scores, kept


def product_and_topk(queries: Tensor, labels: Tensor, k: int, exclude: sp.csr_matrix) -> tuple[Tensor, Tensor]:
    """Return the largest scores and their labels from one whole product: the usual way where memory allows it."""
    scores = queries @ labels.T
    scores[tuple(torch.from_numpy(part.astype(np.int64)) for part in exclude.nonzero())] = -torch.inf
    return tuple(torch.topk(scores, k))
