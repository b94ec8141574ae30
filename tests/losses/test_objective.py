"""Every objective against a loop over pairs, in value and gradient; what the pool holds; what a model has for it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from vixml.losses.objective import LOSSES
from vixml.params.objective import OBJECTIVES, ObjectiveParams

NAMES = sorted(OBJECTIVES)

SOFTMAX = ("decoupled_softmax", "infonce")


def _pool(seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Unscaled queries [9, 8], label texts and prototypes [14, 8]; rows with one, several, all and no positive."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (9, 14, 14)]
    target = torch.rand(9, 14, generator=generator) < 0.25
    target[1], target[2] = False, True
    target[3] = torch.arange(14) == 5
    return inputs, target


def _triplet(
    row: list[torch.Tensor], relevant: list[bool], params: ObjectiveParams, margins: tuple[float, float]
) -> torch.Tensor:
    positive = row[relevant.index(True)]
    negatives = sorted((s for s, r in zip(row, relevant, strict=True) if not r), key=lambda s: s.item(), reverse=True)
    if params.num_negatives >= len(row):  # as published: then the positive is among its own negatives
        negatives.append(positive)
    gaps = []
    for s in negatives[: params.num_negatives]:
        margin = min(max(abs((positive - s).item()), margins[0]), margins[1])
        gaps.append(s - positive + margin)
    # a pair that the dynamic margin meets exactly has half a gradient, as the published loss gives it
    hinges = [0.5 * (gap + gap.abs()) for gap in gaps]
    violating = [gap.item() > 0 for gap in gaps]
    if not params.temperature:
        weights = [1.0] * len(gaps)
    elif any(violating):
        sharp = [torch.exp(s / params.temperature) * v for s, v in zip(negatives, violating, strict=False)]
        weights = [weight / sum(sharp) for weight in sharp]
    else:
        weights = [1 / min(params.num_negatives, len(row))] * len(gaps)
    terms = (hinge * weight for hinge, weight in zip(hinges, weights, strict=True))
    return sum(terms, torch.zeros((), dtype=torch.float64))


def _regulariser(
    rows: list[tuple[list[torch.Tensor], list[torch.Tensor], list[bool]]], params: ObjectiveParams
) -> torch.Tensor:
    """Of each query its scores with texts and with prototypes, and what is relevant."""
    ahead, behind = [], []
    for text, prototype, relevant in rows:
        if any(relevant):
            first = relevant.index(True)
            ahead.append(text[first] - prototype[first] + params.regulariser_margin)
        wrong = sorted((j for j, r in enumerate(relevant) if not r), key=lambda j: prototype[j].item(), reverse=True)
        behind += [prototype[j] - text[j] + params.regulariser_margin for j in wrong[: params.num_negatives]]
    halves = [[value for value in half if value.item() > 0] for half in (ahead, behind)]
    return 0.5 * sum(sum(half) / len(half) for half in halves)


def _prime(
    query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor, target: torch.Tensor, params: ObjectiveParams
) -> torch.Tensor:
    margins, relevant = (params.margin_min, params.margin_max), target.tolist()
    text_rows, prototype_rows = ([[(q * y).sum() for y in side] for q in query] for side in (text, prototype))
    parts = []
    for rows in (text_rows, prototype_rows):
        found = [_triplet(row, r, params, margins) for row, r in zip(rows, relevant, strict=True) if any(r)]
        parts.append(sum(found) / len(query))
    columns = [([row[j] for row in text_rows], [r[j] for r in relevant]) for j in range(len(text))]
    found = [_triplet(column, r, params, margins) for column, r in columns if any(r)]
    parts.append(sum(found) / len(found))
    rows = list(zip(text_rows, prototype_rows, relevant, strict=True))
    return sum(parts) + params.regulariser_weight * _regulariser(rows, params)


def _softmax(row: list[torch.Tensor], relevant: list[bool], params: ObjectiveParams, *, every: bool) -> torch.Tensor:
    tau = params.softmax_temperature
    negatives = [torch.exp(s / tau) for s, r in zip(row, relevant, strict=True) if not r]
    positives = [torch.exp(s / tau) for s, r in zip(row, relevant, strict=True) if r]
    terms = [-torch.log(p / (p + sum(negatives))) for p in (positives if every else positives[:1])]
    return sum(terms) / len(terms)


def oracle(
    name: str, query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor, target: torch.Tensor, params
) -> torch.Tensor:
    """The definition, pair by pair; the drawn positive is the first."""
    if name == "prime":
        return _prime(query, text, prototype, target, params)
    labels = prototype if name == "dexa" else text
    losses = []
    for q, relevant in zip(query, target.tolist(), strict=True):
        row = [(q * label).sum() for label in labels]
        if not any(relevant):
            losses.append(torch.zeros((), dtype=torch.float64))
        elif name in ("dexa", "ngame"):
            losses.append(_triplet(row, relevant, params, (params.margin, params.margin)))
        else:
            losses.append(_softmax(row, relevant, params, every=name == "decoupled_softmax"))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "settings", [{}, {"num_negatives": 3, "margin": 0.2, "temperature": None, "softmax_temperature": 0.4}]
)
def test_value_and_gradient_equal_a_loop_over_pairs(name: str, seed: int, settings: dict[str, float]) -> None:
    inputs, target = _pool(seed)
    params = ObjectiveParams(name=name, **settings)
    results = []
    for loss in (lambda *given: LOSSES[name](*given)[0], lambda *given: oracle(name, *given)):
        leaves = [value.clone().requires_grad_() for value in inputs]
        value = loss(*(normalize(leaf, dim=-1) for leaf in leaves), target, params)
        gradients = torch.autograd.grad(value, leaves, allow_unused=True)
        results.append((value.detach(), [torch.zeros(()) if g is None else g for g in gradients]))
    (fast, fast_gradients), (slow, slow_gradients) = results
    torch.testing.assert_close(fast, slow)
    for got, expected in zip(fast_gradients, slow_gradients, strict=True):
        torch.testing.assert_close(got, expected)
    assert slow_gradients[0].abs().sum() > 0
    learns = {"prime": (1, 2), "dexa": (2,)}.get(name, (1,))
    assert [slow_gradients[i].abs().sum() > 0 for i in (1, 2)] == [i in learns for i in (1, 2)]


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_value(name: str) -> None:
    """Finite differences along every input."""
    inputs, target = _pool(3)
    # prime's margin has no gradient of its own where it is dynamic
    params = ObjectiveParams(name=name, temperature=None, softmax_temperature=0.5, margin_min=0.3, margin_max=0.3)

    def value(*given: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](*(normalize(part, dim=-1) for part in given), target, params)[0]

    # num_negatives picks: the differences are small enough not to change a choice
    leaves = tuple(part.requires_grad_() for part in inputs)
    assert torch.autograd.gradcheck(value, leaves, eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"prime"}))  # its reverse term and regulariser see all pairs
def test_a_further_positive_is_not_pushed_away(name: str) -> None:
    """With one drawn positive the other one has no gradient; decoupled positives are all pulled, none pushed."""
    query = normalize(torch.tensor([[1.0, 0.2]]), dim=-1)
    label = normalize(torch.tensor([[0.2, 1.0], [1.0, 0.1], [0.5, -0.6]]), dim=-1).requires_grad_()
    target = torch.tensor([[True, True, False]])
    loss, _ = LOSSES[name](query, label, label, target, ObjectiveParams(name=name))
    (gradient,) = torch.autograd.grad(loss, label)
    towards = -(gradient @ query[0])
    assert towards[0] > 0
    assert towards[1] >= 0
    assert towards[2] < 0
    if name != "decoupled_softmax":
        assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_spared_pair_counts_as_if_its_label_were_not_in_the_pool(name: str) -> None:
    """Of one query, the hardest negatives are spared, and a relevant pair, which stays relevant."""
    inputs, target = _pool(4)
    query, text, prototype = (normalize(part, dim=-1) for part in inputs)
    row, params = 4, ObjectiveParams(name=name, num_negatives=3)
    spared = torch.zeros(1, 14, dtype=torch.bool)
    for labels in (text, prototype):
        spared[0, (query[row] @ labels.T).masked_fill(target[row], -1).topk(2).indices] = True
    spared[0, target[row].nonzero()[-1]] = True
    left = target[row] | ~spared[0]

    def value(pool: torch.Tensor, spared: torch.Tensor | None) -> torch.Tensor:
        given = query[row : row + 1], text[pool], prototype[pool], target[row : row + 1, pool]
        return LOSSES[name](*given, params, spared=spared)[0]

    every = torch.arange(14)
    torch.testing.assert_close(value(every, spared), value(every[left], None))
    assert not torch.allclose(value(every, None), value(every, spared)), "some spared pair would have been a negative"


@pytest.mark.parametrize("name", SOFTMAX)
def test_one_negative_is_a_logistic_loss(name: str) -> None:
    """By hand: similarity 1 for the positive, 0 for the negative, temperature 0.5."""
    query, label = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    params = ObjectiveParams(name=name, softmax_temperature=0.5)
    loss, _ = LOSSES[name](query, label, label, torch.tensor([[True, False]]), params)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_every_objective_has_a_loss() -> None:
    assert set(LOSSES) == set(OBJECTIVES)
