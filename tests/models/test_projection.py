"""The whitened start of the image projection."""

import numpy as np
import torch
from torch import nn

from vixml.models.projection import whiten_projection


def test_projected_images_are_centred_white_and_of_word_scale() -> None:
    """A bank with one huge common direction comes out centred, of equal spread everywhere, at the asked scale."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((4000, 8)) * np.array([30, 1, 1, 1, 1, 1, 1, 1]) + 50).astype(np.float16)
    torch.manual_seed(0)
    projection = nn.Linear(8, 64)
    whiten_projection(projection, vectors, np.arange(4000), word_rms=0.05)
    with torch.no_grad():
        projected = projection(torch.from_numpy(vectors.astype(np.float32)))
    assert abs(float(projected.square().mean().sqrt()) - 0.05) < 1e-3
    assert float(projected.mean(dim=0).abs().max()) < 1e-3
    spread = torch.linalg.svdvals(projected - projected.mean(dim=0))[:8]
    assert float(spread[0] / spread[-1]) < 5


def test_a_bank_without_variety_leaves_the_layer_alone() -> None:
    """One image, or equal images, cannot be whitened."""
    for vectors in (np.ones((1, 4), np.float16), np.ones((9, 4), np.float16)):
        projection = nn.Linear(4, 3)
        before = projection.weight.clone()
        whiten_projection(projection, vectors, np.arange(len(vectors)), word_rms=1.0)
        assert torch.equal(before, projection.weight)
