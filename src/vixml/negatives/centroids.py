"""Label centroids: the mean embedding of a label's training queries (PRIME, section 3.2)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.distributed import group
from vixml.models.dual import DualModel


def label_centroids(
    embeddings: NDArray[np.floating], relevance: sp.csr_matrix, *, block: int = 65536
) -> NDArray[np.float32]:
    """Average the query embeddings of every label.

    Args:
        embeddings: Query embeddings [N, d].
        relevance: Training relevance [N, L]; its values are ignored.
        block: Labels computed at once.

    Returns:
        Centroids float32 [L, d]; zero rows for labels without a query.
    """
    by_label = sp.csr_matrix((np.ones(relevance.nnz, np.float32), relevance.indices, relevance.indptr), relevance.shape)
    by_label = by_label.T.tocsr()
    counts = np.maximum(np.diff(by_label.indptr), 1).astype(np.float32)
    queries = np.asarray(embeddings, dtype=np.float32)
    centroids = np.empty((by_label.shape[0], queries.shape[1]), dtype=np.float32)
    for start in range(0, by_label.shape[0], block):
        stop = start + block
        centroids[start:stop] = (by_label[start:stop] @ queries) / counts[start:stop, None]
    return centroids


def update_centroids(model: DualModel, queries: torch.Tensor, relevance: sp.csr_matrix) -> None:
    """Recompute the labels' centroids, where the model has any; several ranks compute a share of them each.

    Args:
        model: The model.
        queries: Embeddings of the training queries [N, d].
        relevance: Their relevance [N, L].
    """
    centroids = model.label_side.centroids
    if centroids is not None:
        mine = group.consecutive_share(len(centroids))
        found = label_centroids(queries.cpu().numpy(), relevance[:, mine])
        centroids.zero_()
        centroids[mine] = torch.from_numpy(found).to(centroids)
        group.add_up(centroids)
