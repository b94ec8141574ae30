"""Initial image projection: whitened, so that the frozen vision model's dominant directions do not drown the rest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_SAMPLE = 65_536
_FLOOR = 1e-3


def whiten_projection(
    projection: nn.Linear, vectors: NDArray[np.floating], rows: NDArray[np.int64], *, word_rms: float
) -> None:
    """Start the projection as PCA whitening of the image bank followed by a random rotation.

    Raw features of a frozen vision model share a large common component and a few dominant directions: nearly equal
    inputs for different images. Whitened, every direction counts alike from the first step, and an image enters at the
    scale of a word embedding. It stays one trainable linear layer (ViXML, section 3.2): only where it starts differs.

    Args:
        projection: Linear layer Dv -> D, already randomly initialised (its weight is the random rotation).
        vectors: Image bank [U, Dv].
        rows: Bank rows to learn the whitening from, int64 [n]: training queries' and labels', never the test side's;
            at most 65,536 evenly spread ones are read.
        word_rms: Root mean square of the word embeddings' entries; that of the projected images after this.
    """
    rows = np.unique(rows)
    sample = torch.from_numpy(np.asarray(vectors[rows[:: max(1, -(-len(rows) // _SAMPLE))]], dtype=np.float32))
    if len(sample) < 2:
        return
    mean = sample.mean(dim=0)
    centred = (sample - mean).double()
    values, directions = torch.linalg.eigh(centred.T @ centred / len(sample))
    values = values.clamp(min=0)
    if float(values[-1]) <= 0:
        return
    scale = 1 / (values + _FLOOR * values[-1]).sqrt()
    whitening = ((directions * scale) @ directions.T).float()
    with torch.no_grad():
        projection.weight.copy_(projection.weight @ whitening.to(projection.weight.device))
        projection.bias.zero_()
        projected = (sample - mean).to(projection.weight.device) @ projection.weight.T
        projection.weight.mul_(word_rms / projected.square().mean().sqrt().clamp(min=1e-12))
        projection.bias.copy_(-(projection.weight @ mean.to(projection.weight.device)))
