"""Dropout that draws its mask by the word on a CPU, some four times faster than number by number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STEPS = 1 << 16  # a number's fate is one of 2^16 equally likely ones: p is kept to 1/131072


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with a faster mask on a CPU; elsewhere it is torch's own.

    p is rounded to the nearest multiple of 2^-16, and so is the factor of what stays; the mask comes from torch's
    default generator, so that `torch.manual_seed` and the saved state of the generator repeat it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zero each number with probability p in training mode, and scale the others by 1 / (1 - p)."""
        return dropout(input, self.p, training=self.training)


def dropout(values: Tensor, p: float, *, training: bool = True) -> Tensor:
    """Zero each number with probability p, and scale the others by 1 / (1 - p).

    Args:
        values: Numbers, floating point of any shape.
        p: Probability, 0 to 1.
        training: Whether anything is done at all.
    """
    dropped = round(p * _STEPS)
    if not training or values.device.type != "cpu" or not 0 < dropped < _STEPS:
        return nn.functional.dropout(values, p, training)
    count = values.numel()
    # four 16-bit numbers a drawn word, each uniform over -2^15 .. 2^15 - 1
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = words.view(torch.int16)[:count].view(values.shape) >= dropped - _STEPS // 2
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - dropped))


def use_fast_dropout(model: nn.Module) -> None:
    """Replace every plain dropout layer inside a model."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
