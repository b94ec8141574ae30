"""The embedding bank of the training queries: where it lives, and the clusters and centroids made from it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.core.seeding import torch_generator
from vixml.models.dual import DualModel
from vixml.negatives.centroids import label_centroids
from vixml.negatives.clustering import balanced_clusters
from vixml.negatives.curriculum import cluster_size_at
from vixml.params.variant import VariantParams

Ints = NDArray[np.int64]


def bank_device(num_bytes: int, device: torch.device) -> torch.device:
    """Return where the embedding bank lives: beside the model, unless it would take a tenth of the GPU's memory."""
    if device.type == "cuda" and num_bytes > torch.cuda.get_device_properties(device).total_memory // 10:
        return torch.device("cpu")
    return device


def make_clusters(
    bank: torch.Tensor, rows: Ints, epoch: int, params: VariantParams, seed: int, device: torch.device
) -> list[Ints]:
    """Cluster the training queries `rows` by their bank embeddings at the size of `epoch`."""
    generator = torch_generator(seed, "clusters", epoch)
    size = cluster_size_at(epoch, params.batching)
    points = bank[torch.from_numpy(rows).to(bank.device)].to(device)
    return [rows[cluster.numpy()] for cluster in balanced_clusters(points, size=size, generator=generator)]


def update_centroids(model: DualModel, queries: torch.Tensor, relevance: sp.csr_matrix) -> None:
    """Recompute the labels' centroids, where the model has any.

    Args:
        model: The model.
        queries: Embeddings of the training queries [N, d].
        relevance: Their relevance [N, L].
    """
    centroids = model.label_side.centroids
    if centroids is not None:
        centroids.copy_(torch.from_numpy(label_centroids(queries.cpu().numpy(), relevance)))
