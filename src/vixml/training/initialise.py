"""The starting point of a training that depends on the data."""

from __future__ import annotations

import numpy as np
import torch

from vixml.core.seeding import torch_generator
from vixml.models.label_side import SharedVectors
from vixml.models.projection import whiten_projection
from vixml.models.text.backbone import word_scale
from vixml.negatives.clustering import balanced_clusters
from vixml.training.bank import update_centroids
from vixml.training.encode import embed_all
from vixml.training.loop import Trainer
from vixml.training.stage_inputs import StageInputs


def initialise(trainer: Trainer, inputs: StageInputs) -> None:
    """Set the starting point that depends on the data: image projection, free vectors and centroids."""
    model, settings, bank = trainer.model, inputs.params.model, inputs.bank
    projection = model.embedder.projection
    if bank is not None and projection is not None and settings.projection_init == "whitened":
        backbone = model.embedder.backbone
        words = backbone.get_input_embeddings().weight.detach()
        rows = np.concatenate([bank.images_of("train").values, bank.images_of("label").values]).astype(np.int64)
        word_rms = float(words.float().square().mean().sqrt()) * word_scale(backbone)
        whiten_projection(projection, bank.vectors, rows, word_rms=word_rms)
    free, prototype = model.label_side.free, settings.prototype
    if free is not None and (prototype.free_vectors < model.num_labels or prototype.free_init == "cluster_mean"):
        share_free_vectors(trainer, free, prototype.free_init, inputs.seed)
    if model.label_side.centroids is not None:
        # Without this pass the combiner would train on zeros for a whole epoch, then meet centroids that it never saw.
        precision = inputs.params.optim.precision
        queries = embed_all(model, trainer.inputs.queries, precision=precision, desc="first centroids")
        update_centroids(model, torch.from_numpy(queries), trainer.inputs.relevance)


def share_free_vectors(trainer: Trainer, free: SharedVectors, free_init: str, seed: int) -> None:
    """Let labels share free vectors by balanced clustering of their initial embeddings (DEXA; PRIME, section 3.2)."""
    model = trainer.model
    precision = trainer.params.optim.precision
    texts = embed_all(model, trainer.inputs.labels, precision=precision, desc="share free vectors")
    points = torch.from_numpy(texts).to(model.device)
    num_free, num_labels = len(free.table.weight), model.num_labels
    # Neighbours in the tree's order share a vector: every vector is used, by numbers of labels that differ by one.
    order = torch.cat(balanced_clusters(points, size=1, generator=torch_generator(seed, "free vectors")))
    free.of_label[order.to(model.device)] = torch.arange(num_labels, device=model.device) * num_free // num_labels
    if free_init == "cluster_mean":
        sums = torch.zeros_like(free.table.weight).index_add_(0, free.of_label, points)
        with torch.no_grad():
            free.table.weight.copy_(torch.nn.functional.normalize(sums, dim=-1))
