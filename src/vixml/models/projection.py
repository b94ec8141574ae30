"""Image projections: the way of pictures past the backbone, and a whitened start.

Whitened, the frozen vision model's dominant directions do not drown the rest.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

_SAMPLE = 65_536
_FLOOR = 1e-3


class ImageResidual(nn.Module):
    """The way of pictures past the backbone: projected, averaged and added to an item's pooled embedding.

    Among the words of a sequence, a picture reaches the embedding only through layers that were trained on text. Here
    it gets there directly: items with like pictures are near each other from the first step on. What is added has the
    length of the pooled embedding times a learned gate, so it means the same in any backbone.

    Args:
        image_dim: Width of the frozen image vectors.
        dim: Width d of the embeddings.
        gate: Initial length of the added vector, where the pooled embedding's is 1.
    """

    def __init__(self, image_dim: int, dim: int, *, gate: float) -> None:
        super().__init__()
        self.projection = nn.Linear(image_dim, dim)
        self.gate = nn.Parameter(torch.tensor(float(gate)))

    def forward(self, pooled: Tensor, images: Tensor, counts: Tensor) -> Tensor:
        """Return the embeddings [n, d] with the pictures added; an item without any keeps its own.

        Args:
            pooled: Pooled embeddings [n, d].
            images: Image vectors [m, Dv], item after item.
            counts: Images of each item int64 [n], summing to m.
        """
        owner = torch.repeat_interleave(counts)
        projected = self.projection(images).to(pooled.dtype)
        added = normalize(torch.zeros_like(pooled).index_add(0, owner, projected), dim=-1)
        return pooled + self.gate * pooled.detach().norm(dim=-1, keepdim=True) * added


def whiten_residual(residual: ImageResidual, vectors: NDArray[np.floating], rows: NDArray[np.int64]) -> None:
    """Start the way past the backbone as PCA whitening: inner products are then those of whitened image vectors.

    Unlike a random rotation to fewer numbers it keeps the directions in which images differ most.

    Args:
        residual: Of the image width Dv and the embeddings' width d.
        vectors: Image bank [U, Dv].
        rows: Bank rows to learn the whitening from, as in `whiten_projection`.
    """
    projection = residual.projection
    whitening = _whitening(_sample(vectors, rows))
    if whitening is None:
        return
    mean, directions, scale = whitening
    kept = (directions * scale).float().T.flip(0)[: projection.out_features].to(projection.weight.device)
    with torch.no_grad():
        projection.weight.zero_()
        projection.weight[: len(kept)] = kept
        projection.bias.copy_(-(projection.weight @ mean.to(projection.weight.device)))


def _sample(vectors: NDArray[np.floating], rows: NDArray[np.int64]) -> Tensor:
    rows = np.unique(rows)
    return torch.from_numpy(np.asarray(vectors[rows[:: max(1, -(-len(rows) // _SAMPLE))]], dtype=np.float32))


def _whitening(sample: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return mean [Dv], directions (columns, by increasing variance) [Dv, Dv] and their scale [Dv]; None for none."""
    if len(sample) < 2:
        return None
    mean = sample.mean(dim=0)
    centred = (sample - mean).double()
    values, directions = torch.linalg.eigh(centred.T @ centred / len(sample))
    values = values.clamp(min=0)
    if float(values[-1]) <= 0:
        return None
    return mean, directions, 1 / (values + _FLOOR * values[-1]).sqrt()


def whiten_projection(
    projection: nn.Linear, vectors: NDArray[np.floating], rows: NDArray[np.int64], *, word_rms: float
) -> None:
    """Start a projection as PCA whitening of the image bank followed by a random rotation.

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
    sample = _sample(vectors, rows)
    found = _whitening(sample)
    if found is None:
        return
    mean, directions, scale = found
    whitening = ((directions * scale) @ directions.T).float()
    with torch.no_grad():
        projection.weight.copy_(projection.weight @ whitening.to(projection.weight.device))
        projection.bias.zero_()
        projected = (sample - mean).to(projection.weight.device) @ projection.weight.T
        projection.weight.mul_(word_rms / projected.square().mean().sqrt().clamp(min=1e-12))
        projection.bias.copy_(-(projection.weight @ mean.to(projection.weight.device)))
