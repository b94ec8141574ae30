"""Exact search: the whole score matrix, fully sorted."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


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
