"""The whitened start of the image projection."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from vixml.models.projection import ImageResidual, whiten_projection, whiten_residual


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


def test_the_way_past_the_backbone_starts_with_whitened_similarities() -> None:
    """Inner products of projected images are those of whitened vectors, in the directions that vary most."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((3000, 8)) * np.array([9, 5, 4, 3, 2, 1, 1e-3, 1e-3]) + 7).astype(np.float32)
    residual = ImageResidual(8, 6, gate=1.0)
    whiten_residual(residual, vectors, np.arange(3000))
    values, axes = np.linalg.eigh(np.cov(vectors.T, bias=True))
    white = ((vectors - vectors.mean(axis=0)) @ axes / np.sqrt(values + 1e-3 * values[-1]))[:, 2:]
    with torch.no_grad():
        projected = residual.projection(torch.from_numpy(vectors[:20])).numpy()
    np.testing.assert_allclose(projected @ projected.T, white[:20] @ white[:20].T, atol=2e-2)


def test_a_bank_narrower_than_the_embeddings_fills_what_it_can() -> None:
    """The remaining numbers are zero, not random."""
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    residual = ImageResidual(4, 6, gate=1.0)
    whiten_residual(residual, vectors, np.arange(50))
    with torch.no_grad():
        projected = residual.projection(torch.from_numpy(vectors))
    assert projected[:, :4].std(dim=0).min() > 0.9
    assert not projected[:, 4:].any()


def test_pictures_are_averaged_and_added_at_the_gates_length() -> None:
    """Relative to the pooled embedding, whose length gets no gradient from there; without picture nothing is added."""
    torch.manual_seed(0)
    residual = ImageResidual(5, 4, gate=0.5)
    pooled, images = (3 * torch.randn(3, 4)).requires_grad_(), torch.randn(3, 5)
    fused = residual(pooled, images, torch.tensor([2, 0, 1]))
    first = normalize(residual.projection(images[:2]).sum(dim=0), dim=0)
    torch.testing.assert_close(fused[0], pooled[0] + 0.5 * pooled[0].norm() * first)
    assert torch.equal(fused[1], pooled[1])
    torch.testing.assert_close((fused - pooled)[2].norm(), 0.5 * pooled[2].norm())
    fused.sum().backward()
    torch.testing.assert_close(pooled.grad, torch.ones(3, 4))
    assert residual.gate.grad != 0
