"""Soft cross-entropy against a loop, and what it does to a row that the teacher says nothing about."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from vixml.losses.distillation import soft_cross_entropy


def _unit(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_equals_a_loop(temperature: float) -> None:
    query, text, prototype = _unit(4, 0), _unit(6, 1), _unit(6, 2)
    soft = torch.rand(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    soft[soft < 0.4] = 0
    soft[2] = 0
    expected = 0.0
    for side in (text, prototype):
        for row in (0, 1, 3):
            scores = [float(query[row] @ side[column]) / temperature for column in range(6)]
            total = math.log(sum(math.exp(score) for score in scores))
            mass = float(soft[row].sum())
            expected -= sum(float(soft[row, c]) / mass * (scores[c] - total) for c in range(6)) / 4
    found = soft_cross_entropy(query, text, prototype, soft, temperature=temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_a_row_without_soft_labels_has_no_gradient() -> None:
    query = _unit(3, 0).requires_grad_()
    soft = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.2, 0.6]], dtype=torch.float64)
    soft_cross_entropy(query, _unit(2, 1), _unit(2, 2), soft, temperature=0.1).backward()
    assert query.grad is not None
    assert query.grad[1].abs().max() == 0
    assert (query.grad[[0, 2]].abs().amax(dim=1) > 0).all()


def test_the_teachers_distribution_is_the_minimum() -> None:
    """Of all students, the one that ranks as the teacher does has the lowest loss."""
    corners = torch.eye(4, dtype=torch.float64)
    share = torch.tensor([[0.6, 0.3, 0.1, 0.0]], dtype=torch.float64)
    right = normalize(torch.log(share.clamp(min=1e-6)) + 14, dim=1)
    for other in (corners[:1], corners[3:], normalize(torch.ones(1, 4, dtype=torch.float64), dim=1)):
        losses = [soft_cross_entropy(one, corners, corners, share, temperature=0.1) for one in (right, other)]
        assert losses[0] < losses[1]
