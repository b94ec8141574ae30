"""The starting point of a training that depends on the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vixml.core.seeding import torch_generator
from vixml.models.dual import DualModel
from vixml.models.label_side import SharedVectors
from vixml.models.projection import whiten_projection, whiten_residual
from vixml.models.text.backbone import word_scale
from vixml.negatives.centroids import update_centroids
from vixml.retrieval.clustering import balanced_clusters
from vixml.training.encode import embed_all, embedded
from vixml.training.training_data import ItemSource, TrainingData
from vixml.training.variant_data import VariantData

_ROWS = 65_536  # labels widened at once


def initialise(model: DualModel, variant: VariantData, data: TrainingData, scratch: Path) -> None:
    """Set the starting point that depends on the data: image projection, free vectors and centroids.

    Args:
        model: A new model, on its device.
        variant: Settings, seed and image bank.
        data: What the training reads.
        scratch: Existing folder for embeddings that are of no use afterwards.
    """
    settings, bank, precision = variant.params.model, variant.bank, variant.params.optim.precision
    projection, residual = model.embedder.projection, model.embedder.residual
    if bank is not None and projection is not None and settings.projection_init == "whitened":
        backbone = model.embedder.backbone
        words = backbone.get_input_embeddings().weight.detach()
        rows = np.concatenate([bank.images_of("train").values, bank.images_of("label").values]).astype(np.int64)
        if residual is not None:
            whiten_residual(residual, bank.vectors, rows)
        word_rms = float(words.float().square().mean().sqrt()) * word_scale(backbone)
        whiten_projection(projection, bank.vectors, rows, word_rms=word_rms)
    free, prototype = model.label_side.free, settings.prototype
    if free is not None and (prototype.free_vectors < model.num_labels or prototype.free_init == "cluster_mean"):
        share_free_vectors(model, free, data.labels, prototype.free_init, variant.seed, precision)
    if model.label_side.centroids is not None and variant.params.batching.start_epoch > 0:
        # Without this pass the combiner would train on zeros for a whole epoch, then meet centroids that it never saw.
        # Without a warm-up the exact refresh comes next, and fills them.
        file = scratch / "first_queries.npy"
        with embedded(model, data.queries, file, precision=precision, desc="first centroids") as queries:
            update_centroids(model, queries, data.relevance)


def share_free_vectors(
    model: DualModel, free: SharedVectors, labels: ItemSource, free_init: str, seed: int, precision: str
) -> None:
    """Let labels share free vectors by balanced clustering of their initial embeddings (DEXA; PRIME, section 3.2)."""
    texts = embed_all(model, labels, precision=precision, desc="share free vectors")
    points = torch.from_numpy(texts).to(model.device)
    num_free, num_labels = len(free.table.weight), model.num_labels
    # Neighbours in the tree's order share a vector: every vector is used, by numbers of labels that differ by one.
    order = torch.cat(balanced_clusters(points, size=1, generator=torch_generator(seed, "free vectors")))
    free.of_label[order.to(model.device)] = torch.arange(num_labels, device=model.device) * num_free // num_labels
    if free_init == "cluster_mean":
        sums = torch.zeros_like(free.table.weight)
        for rows in torch.arange(num_labels, device=model.device).split(_ROWS):
            sums.index_add_(0, free.of_label[rows], points[rows].float())
        with torch.no_grad():
            free.table.weight.copy_(torch.nn.functional.normalize(sums, dim=-1))
