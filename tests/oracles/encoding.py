"""Embedding a batch padded to its longest item, images and text in slots of their own: the usual, wasteful way."""

from __future__ import annotations

import numpy as np
import torch

from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch


def embed_padded(embedder: Embedder, batch: ItemBatch) -> torch.Tensor:
    """Return the encoder's pooled embeddings [n, d]; every item is padded to the longest one and to all image slots."""
    lengths, slots = batch.tokens.lengths, embedder.template.reserved if batch.images is not None else 0
    token_mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(token_mask.shape, dtype=np.int64)
    ids[token_mask] = batch.tokens.values
    inputs = embedder.backbone.get_input_embeddings()(torch.from_numpy(ids))
    mask = torch.from_numpy(token_mask)
    if slots:
        image_mask = np.arange(slots) < batch.image_counts[:, None]
        images = np.zeros((*image_mask.shape, batch.images.shape[1]), dtype=np.float32)
        images[image_mask] = batch.images
        inputs = torch.cat([embedder.projection(torch.from_numpy(images)), inputs], dim=1)
        mask = torch.cat([torch.from_numpy(image_mask), mask], dim=1)
    hidden = embedder.backbone(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=torch.arange(inputs.shape[1]).expand(len(batch), -1),
    ).last_hidden_state
    weights = mask.to(hidden.dtype)
    if slots and embedder.image_weight is not None:
        weights[:, :slots] *= embedder.image_weight / torch.from_numpy(batch.image_counts).clamp(min=1)[:, None]
    return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
