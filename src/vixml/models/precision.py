"""Arithmetic of a run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from vixml.models.device import cpu_has_bf16
from vixml.models.dual import DualModel


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Return whether matrix products run in bfloat16.

    `auto` chooses it where the hardware multiplies it natively: a GPU, or a processor with AVX-512 BF16 or AMX. There
    it is several times faster than float32; elsewhere it would be emulated and slower.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return cpu_has_bf16()


def to_device(model: DualModel, device: torch.device, precision: str) -> DualModel:
    """Return the model on its device; frozen weights go to a GPU in half precision where its products are.

    Autocast would cast them again in every forward pass, and LoRA's frozen base would take twice the memory.
    """
    if stores_half(device, precision):
        store_frozen_in_half(model)
    return model.to(device)


def stores_half(device: torch.device, precision: str) -> bool:
    """Return whether frozen weights are stored in half precision: on a GPU where its products are."""
    return device.type == "cuda" and uses_bf16(precision, device)


def store_frozen_in_half(model: DualModel) -> None:
    """Store the backbone's weights that are not trained in bfloat16; what is trained stays as it is."""
    for weight in model.embedder.backbone.parameters():
        if not weight.requires_grad and weight.is_floating_point():
            weight.data = weight.data.to(torch.bfloat16)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network runs forward."""
    if uses_bf16(precision, device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
