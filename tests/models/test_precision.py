"""Arithmetic: which weights are stored in half precision, and that the embeddings stay what they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.architectures import backbone

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.build import trained_state
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch
from vixml.models.label_side import make_label_side
from vixml.models.precision import store_frozen_in_half, to_device, uses_bf16
from vixml.models.text.backbone import merge_adapters
from vixml.params.model import PrototypeParams


def decoder() -> DualModel:
    torch.manual_seed(0)
    network, template = backbone("tiny-decoder")
    embedder = Embedder(network, image_dim=6, template=template)
    return DualModel(embedder, make_label_side("prototype", embedder.dim, PrototypeParams(num_heads=2), num_labels=9))


def items() -> ItemBatch:
    rng = np.random.default_rng(0)
    lengths, counts = rng.integers(2, 9, 12), rng.integers(0, 3, 12)
    tokens = RaggedArray(rng.integers(4, 60, lengths.sum()), offsets_of(lengths))
    return ItemBatch(tokens, rng.standard_normal((counts.sum(), 6)).astype(np.float16), counts)


def test_the_frozen_base_is_stored_in_half_and_the_rest_is_not() -> None:
    """LoRA's base takes half the memory; adapters, projection and label side keep float32, and so do checkpoints."""
    model = decoder()
    before = model.embed(items()).detach()
    store_frozen_in_half(model)
    for name, weight in model.named_parameters():
        frozen_base = name.startswith("embedder.backbone") and not weight.requires_grad
        assert weight.dtype == (torch.bfloat16 if frozen_base else torch.float32), name
    assert all(value.dtype != torch.bfloat16 for value in trained_state(model).values())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = model.embed(items())
        after.sum().backward()
    assert after.dtype == torch.float32
    assert float((before * after.detach()).sum(dim=1).min()) > 0.99
    assert all(w.grad is not None for n, w in model.named_parameters() if w.requires_grad and "lora_B" in n)


def test_a_processor_keeps_float32() -> None:
    """Only a GPU's copy is halved, so the numbers of a run on a processor are what they always were."""
    model = to_device(decoder(), torch.device("cpu"), "bf16")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_emulated_bf16_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T4 or V100 can emulate it, at a fraction of its speed in float32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not uses_bf16("auto", torch.device("cuda"))


def test_merged_adapters_give_the_same_embeddings() -> None:
    """What is left is the base network, without a module beside its layers."""
    model = decoder().eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    with torch.inference_mode():
        before = model.embed(items())
        model.embedder.backbone = merge_adapters(model.embedder.backbone)
        after = model.embed(items())
    assert not any("lora" in name for name, _ in model.named_modules())
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
