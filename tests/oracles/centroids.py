"""Label centroids, one label after the other: slow and obvious."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def label_centroids(embeddings: np.ndarray, relevance: sp.csr_matrix) -> np.ndarray:
    """Return the mean embedding of each label's queries [L, d], zero where there is none."""
    by_label = relevance.tocsc()
    centroids = np.zeros((relevance.shape[1], embeddings.shape[1]), dtype=np.float32)
    for label in range(relevance.shape[1]):
        queries = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]
        if len(queries):
            centroids[label] = embeddings[queries].mean(axis=0)
    return centroids
