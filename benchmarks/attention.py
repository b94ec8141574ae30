"""Attention of short sequences and dropout on a CPU, against torch's own, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import dropout as torch_dropout
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.harness import Row, product_rate, race, read_rate
from vixml.models.text.attention import attend
from vixml.models.text.dropout import dropout

HEADS, WIDTH = 12, 32  # MiniLM's


def run(*, quick: bool) -> list[Row]:
    """Titles of 13 to 64 positions with and without dropout in both precisions, and a feed-forward layer's dropout."""
    positions = 400 if quick else 3400
    dropped = [(t, 0.1, "bfloat16") for t in (13, 28, 64)] + [(13, 0.1, "float32")]
    cases = [*dropped, (13, 0.0, "bfloat16"), (64, 0.0, "bfloat16"), (13, 0.0, "float32")]
    return [*(_attention(positions // t, t, p, getattr(torch, kind)) for t, p, kind in cases), _dropout(positions)]


def _attention(items: int, t: int, p: float, dtype: torch.dtype) -> Row:
    torch.manual_seed(0)
    leaves = [torch.randn(items, t, HEADS, WIDTH).to(dtype).requires_grad_() for _ in range(3)]
    upstream = torch.randn(items, HEADS, t, WIDTH).to(dtype)
    mask = (torch.arange(t) < torch.randint(t // 2, t + 1, (items, 1)))[:, None, None, :]

    def timed(attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        def once() -> list[Tensor]:
            for leaf in leaves:
                leaf.grad = None
            found = attention(*(leaf.transpose(1, 2) for leaf in leaves))
            found.backward(upstream)
            return [found.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

        return once

    ours = timed(lambda q, k, v: attend(q, k, v, mask, scale=WIDTH**-0.5, dropout=p))
    theirs = timed(lambda q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p))
    seconds, oracle_seconds, peak, found, expected = race(ours, theirs, repeats=9)
    if not p:
        tolerance = 1e-4 if dtype == torch.float32 else 2**-4
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
    operations = 6 * 2 * items * HEADS * t * t * WIDTH
    return Row(
        "attention, forward + backward",
        f"{items} x {t} positions, {HEADS} heads of {WIDTH}, {str(dtype).removeprefix('torch.')}, dropout {p}",
        seconds, "torch's scaled_dot_product_attention", oracle_seconds, peak,
        "its six products as large ones", operations / product_rate(), ">= 1x", oracle_seconds >= seconds,
    )  # fmt: skip


def _dropout(positions: int) -> Row:
    values, upstream = torch.randn(positions, 384, requires_grad=True), torch.randn(positions, 384)

    def timed(function: Callable[[Tensor, float], Tensor]) -> Callable[[], Tensor]:
        def once() -> Tensor:
            values.grad = None
            found = function(values, 0.1)
            found.backward(upstream)
            return found.detach()

        return once

    seconds, oracle_seconds, peak, found, expected = race(timed(dropout), timed(torch_dropout), repeats=9)
    assert abs((found == 0).float().mean() - (expected == 0).float().mean()) < 0.01
    floor = 6 * 4 * values.numel() / read_rate()
    return Row(
        "dropout, forward + backward", f"{positions} x 384, p = 0.1", seconds, "torch's dropout", oracle_seconds, peak,
        "values, mask and result once each way", floor, ">= 1x", oracle_seconds >= seconds,
    )  # fmt: skip
