"""The objective over nested prefixes: against the plain sum, forward and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from vixml.losses.nested import nested_loss
from vixml.losses.prime import prime_loss
from vixml.params.objective import ObjectiveParams

TARGET = torch.eye(6, dtype=torch.bool)


def objective(*embeddings: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return prime_loss(*embeddings, TARGET, ObjectiveParams(num_negatives=3), generator=generator)


def embeddings() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [normalize(torch.randn(6, 16, generator=generator), dim=-1).requires_grad_() for _ in range(3)]


def test_no_shorter_width_is_the_objective_itself() -> None:
    """Bit by bit, terms and all."""
    vectors = embeddings()
    loss, terms = nested_loss(objective, vectors, ())
    expected, expected_terms = objective(*vectors)
    assert torch.equal(loss, expected)
    assert terms.keys() == expected_terms.keys()


def test_the_sum_over_prefixes_and_its_gradient() -> None:
    """Each prefix is scaled to unit length and weighs the same; a cut-off number gets no gradient from it."""
    found, expected = embeddings(), embeddings()
    loss, terms = nested_loss(objective, found, (4, 8))
    loss.backward()
    total = objective(*expected)[0]
    for dim in (4, 8):
        total = total + objective(*[v[:, :dim] / v[:, :dim].norm(dim=-1, keepdim=True) for v in expected])[0]
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-6)
    for first, second in zip(found, expected, strict=True):
        torch.testing.assert_close(first.grad, second.grad, atol=1e-6, rtol=1e-5)
    assert {"loss_dim_4", "loss_dim_8"} < terms.keys()
    assert not terms["loss_dim_4"].requires_grad
