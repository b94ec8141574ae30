"""How the benchmark counts the operations of a step."""

from __future__ import annotations

import torch
from benchmarks.architectures import backbone
from benchmarks.train_step import linear_layers

from vixml.configuration.recipes import packaged_recipes, resolve


def test_adapters_and_what_they_adapt_count_once() -> None:
    """Every weight matrix of a network with adapters is found, none twice."""
    model, _ = backbone("tiny-decoder")
    layers = linear_layers(model)
    assert len({id(layer.weight) for layer in layers}) == len(layers) == 2 * 7 * 3, (
        "two blocks of seven layers, A and B"
    )
    weights = sum(value.numel() for name, value in model.named_parameters() if "embed" not in name and value.ndim == 2)
    assert sum(layer.weight.numel() for layer in layers) == weights


def test_the_paper_s_rank_is_measured() -> None:
    """The adapters of the benchmark are those of the recipe."""
    with torch.device("meta"):
        network = backbone("qwen2.5-3b")[0]
    ranks = {value.shape[0] for name, value in network.named_parameters() if "lora_A" in name}
    assert ranks == {resolve(packaged_recipes(), "qwen2.5-3b", "decoder")["backbone"]["lora"]["rank"]}
