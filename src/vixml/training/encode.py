"""Embedding whole sides without gradient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vixml.core.progress import progress
from vixml.models.dual import DualModel
from vixml.training.inputs import ItemSource
from vixml.training.precision import autocast

_BLOCK = 8192


def embed_all(model: DualModel, source: ItemSource, *, precision: str, desc: str) -> NDArray[np.float32]:
    """Return unit embeddings float32 [n, d] of all items, in evaluation mode (the mode is restored)."""
    result = np.empty((len(source), model.embedder.dim), dtype=np.float32)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), progress(desc=desc, total=len(source), unit="item") as bar:
        for rows, batch in source.blocks(_BLOCK):
            with autocast(precision, model.device):
                result[rows] = model.embed(batch).cpu().numpy()
            bar.update(len(batch))
    model.train(was_training)
    return result


def label_prototypes(model: DualModel, text: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the prototypes float32 [L, d] of all labels from their text embeddings [L, d]."""
    result = np.empty_like(text)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(text), _BLOCK):
            ids = torch.arange(start, min(start + _BLOCK, len(text)), device=model.device)
            part = torch.from_numpy(text[start : start + _BLOCK]).to(model.device)
            result[start : start + _BLOCK] = model.prototypes(part, ids).cpu().numpy()
    model.train(was_training)
    return result
