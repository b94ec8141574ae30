"""Parts of a loss, which ranks compute each: they add up to the whole, in value and gradient, for every objective."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vixml.losses import part as parts
from vixml.losses.objective import LOSSES
from vixml.losses.part import Part, RowDraws, divided
from vixml.params.objective import ObjectiveParams

B, P = 9, 14


def _inputs() -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Queries [B, 8], label texts and prototypes [P, 8], relevance and spared pairs; some rows have no positive."""
    generator = torch.Generator().manual_seed(5)
    inputs = [torch.nn.functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (B, P, P)]
    target = torch.rand(B, P, generator=generator) < 0.25
    target[1] = False
    return inputs, target, torch.rand(B, P, generator=generator) < 0.1


def _sums(count: int) -> list:
    """Return what sums a tensor over `count` threads, for each of them."""
    barrier, held = threading.Barrier(count), [torch.zeros(0)] * count

    def of(number: int):
        def total(tensor: torch.Tensor) -> torch.Tensor:
            held[number] = tensor.clone()
            barrier.wait(60)
            tensor.copy_(sum(held))
            barrier.wait(60)
            return tensor

        return total

    return [of(number) for number in range(count)]


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("spares", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_parts_of_all_ranks_add_up_to_the_loss(name: str, spares: bool, ranks: int) -> None:
    """Also its terms, and the gradient of every vector; the numbers drawn are those of the whole."""
    inputs, target, spared = _inputs()
    params = ObjectiveParams(name=name, num_negatives=3)

    def run(part: Part) -> tuple[torch.Tensor, dict[str, torch.Tensor], list[torch.Tensor | None], torch.Tensor]:
        vectors = [vector.clone().requires_grad_() for vector in inputs]
        generator = torch.Generator().manual_seed(1)
        loss, terms = divided(
            name, LOSSES[name], part, *vectors, target, params, generator=generator, spared=spared if spares else None
        )
        loss.backward()
        return loss.detach(), terms, [vector.grad for vector in vectors], torch.rand(1, generator=generator)

    def of(number: int, total) -> Part:
        rows, columns = (slice(n * number // ranks, n * (number + 1) // ranks) for n in (B, P))
        return Part(rows, columns, B, P, total)

    loss, terms, gradients, after = run(Part.whole(B, P))
    own, _ = LOSSES[name](
        *inputs, target, params, generator=torch.Generator().manual_seed(1), spared=spared if spares else None
    )
    assert own == loss
    with ThreadPoolExecutor(ranks) as pool:
        found = list(pool.map(run, map(of, range(ranks), _sums(ranks))))
    torch.testing.assert_close(sum(one[0] for one in found), loss, atol=1e-6, rtol=1e-5)
    for term, value in terms.items():
        torch.testing.assert_close(sum(one[1][term] for one in found), value, atol=1e-6, rtol=1e-5)
    for place, gradient in enumerate(gradients):
        if gradient is None:
            assert all(one[2][place] is None for one in found)
        else:
            torch.testing.assert_close(sum(one[2][place] for one in found), gradient, atol=1e-6, rtol=1e-5)
    if name != "decoupled_softmax":
        assert all(one[3] == after for one in found)  # the next draw is that of the whole


def test_rows_are_drawn_as_in_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_BLOCK", 7)
    whole = torch.rand(11, 5, generator=torch.Generator().manual_seed(3))
    draws = RowDraws(torch.Generator().manual_seed(3), slice(4, 9), 11)
    assert torch.equal(draws.rand(torch.Size((5, 5))), whole[4:9])
