"""The PRIME sum against a loop over rows."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from vixml.losses.prime import prime_loss
from vixml.losses.triplet import triplet_loss
from vixml.params.objective import ObjectiveParams


def _row_loss(scores: torch.Tensor, target: torch.Tensor, params: ObjectiveParams) -> torch.Tensor:
    """Triplet loss, one row at a time, straight from the definition."""
    losses = []
    for row, relevant in zip(scores, target, strict=True):
        positive = row[int(relevant.nonzero()[0])]
        negatives = row[~relevant].sort(descending=True).values[: params.num_negatives]
        margin = (positive - negatives).abs().clamp(params.margin_min, params.margin_max).detach()
        violating = (negatives - positive + margin) > 0
        if not violating.any():
            losses.append(torch.zeros(()))
            continue
        weights = torch.softmax(negatives[violating] / params.temperature, dim=0)
        losses.append(((negatives - positive + margin)[violating] * weights).sum())
    return torch.stack(losses).mean()


def test_prime_equals_row_by_row_oracle() -> None:
    """The three triplet terms equal the oracle, and the total is their sum with the weighted regulariser."""
    generator = torch.Generator().manual_seed(3)
    query, text, prototype = (normalize(torch.randn(n, 16, generator=generator), dim=-1) for n in (12, 30, 30))
    target = torch.zeros(12, 30, dtype=torch.bool)
    target[torch.arange(30) % 12, torch.arange(30)] = True
    params = ObjectiveParams()
    total, terms = prime_loss(query, text, prototype, target, params)
    torch.testing.assert_close(terms["loss_text"], _row_loss(query @ text.T, target, params))
    torch.testing.assert_close(terms["loss_prototype"], _row_loss(query @ prototype.T, target, params))
    torch.testing.assert_close(terms["loss_reverse"], _row_loss(text @ query.T, target.T, params))
    parts = terms["loss_text"] + terms["loss_prototype"] + terms["loss_reverse"]
    torch.testing.assert_close(total, parts + 0.1 * terms["regulariser"])


def test_gradient_reaches_every_input() -> None:
    """Queries, texts and prototypes all learn."""
    generator = torch.Generator().manual_seed(5)
    inputs = [torch.randn(8, 16, generator=generator).requires_grad_() for _ in range(3)]
    query, text, prototype = (normalize(value, dim=-1) for value in inputs)
    prime_loss(query, text, prototype, torch.eye(8, dtype=torch.bool), ObjectiveParams())[0].backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in inputs)


def test_mined_labels_do_not_dilute_the_reverse_term() -> None:
    """Columns without a relevant query leave L(text, query) as it is without them."""
    generator = torch.Generator().manual_seed(0)
    query, text = (normalize(torch.randn(n, 8, generator=generator), dim=-1) for n in (6, 9))
    target = torch.zeros(6, 9, dtype=torch.bool)
    target[torch.arange(6), torch.arange(6)] = True
    params = ObjectiveParams()
    plain, mined = (prime_loss(query, text[:n], text[:n], target[:, :n], params)[1]["loss_reverse"] for n in (6, 9))
    torch.testing.assert_close(plain, mined)
    assert torch.equal(plain, triplet_loss(text[:6] @ query.T, target[:, :6].T))
    assert plain > 0
