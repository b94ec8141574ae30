"""What PRIME does where mined labels are in the pool; value and gradients are in `test_objective`."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from vixml.losses.prime import prime_loss
from vixml.losses.triplet import triplet_loss
from vixml.params.objective import ObjectiveParams


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
